"""Recipes against one another: the same fragments, the same budget, several seeds, one table."""
