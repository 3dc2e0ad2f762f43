"""Networks: plain modules that know nothing of losses and training. A discriminator returns raw scores (logits)."""
