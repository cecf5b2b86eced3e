"""limen: exact admission for gateways of language models.

One question per call, over every limit that applies: `Engine.admit` answers with a Permit or a Denial, and
what was really used is settled on the permit. The counters that decide are usable by themselves.
"""

from limen._core import (
    BudgetCounter as BudgetCounter,
    Denial as Denial,
    Exclusion as Exclusion,
    FixedWindow as FixedWindow,
    Handle as Handle,
    Held as Held,
    KeyedLimiter as KeyedLimiter,
    Limit as Limit,
    ManualClock as ManualClock,
    Permit as Permit,
    Settlement as Settlement,
    SlidingWindow as SlidingWindow,
    WeightedSampler as WeightedSampler,
    WindowStatus as WindowStatus,
    __version__ as __version__,
    debug_build as debug_build,
)
from limen.engine import Engine as Engine
from limen.errors import (
    ConflictError as ConflictError,
    Fault as Fault,
    ForkedError as ForkedError,
    InvalidError as InvalidError,
    LimenError as LimenError,
    LimitedError as LimitedError,
    NotFoundError as NotFoundError,
    StorageError as StorageError,
)
from limen.settings import (
    AdminToken as AdminToken,
    EstimatePolicy as EstimatePolicy,
    GatewayToken as GatewayToken,
    Settings as Settings,
)

if debug_build:
    import warnings

    warnings.warn("this is a debug build of limen: it is right, and slow", RuntimeWarning, stacklevel=2)
