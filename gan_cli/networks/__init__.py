"""Networks: plain modules that know nothing of the game they play in. A discriminator returns raw scores
(logits).
"""
