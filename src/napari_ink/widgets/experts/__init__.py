"""Ink ▸ Experts: which experts did the work, and what happens without some."""
