"""``python -m napari_ink`` is the command line."""

from napari_ink.cli import main

raise SystemExit(main())
