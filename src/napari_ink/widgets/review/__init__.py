"""Ink ▸ Blind review: two predictions, nameless, region by region."""
