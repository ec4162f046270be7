"""ISTHMUS_INSPECTION=1: the process lets itself be inspected from the import in its main interpreter on."""

from __future__ import annotations

import warnings

from isthmus import _isthmus

if _isthmus.get_current() == _isthmus.get_main():
    try:
        _isthmus.inspection_serve()
    except OSError as error:
        # The program itself works; stacklevel: whoever imports isthmus, behind the import's own frames.
        warnings.warn(f"ISTHMUS_INSPECTION=1, but nothing serves: {error}", RuntimeWarning, stacklevel=2)
