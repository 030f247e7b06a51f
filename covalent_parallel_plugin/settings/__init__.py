"""The options of an executor: what each one is called and takes, and what a set of values makes of them."""

from .near_names import nearest as nearest
from .options import OPTIONS as OPTIONS
from .options import SECTION as SECTION
from .options import Settings as Settings
from .options import check as check
from .options import contradictions as contradictions
from .options import in_python as in_python
from .options import is_given as is_given
from .options import mistakes_in as mistakes_in
from .options import plain as plain
from .options import resolve as resolve
