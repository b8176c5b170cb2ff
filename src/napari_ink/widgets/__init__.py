"""Qt docks: views that signal, models without Qt, and the adapters between them and the core."""
