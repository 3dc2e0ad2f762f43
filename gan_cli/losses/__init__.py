"""Formulas over scores, energies and features: adversarial losses, penalties, regularizers, and their combination."""
