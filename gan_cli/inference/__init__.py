"""What a trained run is used for: sampling, translation, export, the web demo."""
