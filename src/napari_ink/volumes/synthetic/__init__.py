"""The fragment simulator: papyrus with ink whose truth is known.

``synthesise`` makes a fragment in memory, ``write_fragment`` puts it on disk in one of the users'
layouts. What the numbers of real scans look like, and thus what this must look like, is measured
by :mod:`napari_ink.volumes.synthetic.statistics`.
"""

from napari_ink.volumes.synthetic.render import synthesise
from napari_ink.volumes.synthetic.write import LAYOUTS, write_fragment

__all__ = ["LAYOUTS", "synthesise", "write_fragment"]
