"""Operating-system errors, said once: what cannot be read and what to do about it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from napari_ink.errors import FragmentError


@contextmanager
def reading(path: str) -> Iterator[None]:
    """Turn an OSError while ``path`` is read into a FragmentError that names it.

    Raises
    ------
    FragmentError
        When the file is not there, not permitted, or the medium fails.
    """
    try:
        yield
    except FileNotFoundError:
        raise FragmentError(f"{path} does not exist", "check the path") from None
    except PermissionError:
        raise FragmentError(
            f"no permission to read {path}", "ask its owner for read access"
        ) from None
    except IsADirectoryError:
        raise FragmentError(f"{path} is a folder", "give the file in it") from None
    except OSError as error:
        raise FragmentError(
            f"{path} cannot be read ({error.strerror or error})", "check the disk or the network"
        ) from error
