"""limen: exact admission for gateways of language models.

One question per call, over every limit that applies: `Engine.admit` answers with a Permit or a Denial, and
what was really used is settled on the permit. The counters that decide are usable by themselves.
"""

from limen._core import (
    BudgetCounter,
    Cost,
    CostLine,
    Denial,
    Exclusion,
    FixedWindow,
    Handle,
    Held,
    KeyedLimiter,
    Limit,
    ManualClock,
    Permit,
    PricingPatch,
    RateCard,
    Settlement,
    SlidingWindow,
    WeightedSampler,
    WindowStatus,
    __version__,
    debug_build,
)
from limen.engine import Engine, load_prices
from limen.errors import (
    ConflictError,
    Fault,
    ForkedError,
    InvalidError,
    LimenError,
    LimitedError,
    NotFoundError,
    StorageError,
)
from limen.settings import (
    AdminToken,
    EstimatePolicy,
    GatewayToken,
    Settings,
)

__all__ = [
    "AdminToken",
    "BudgetCounter",
    "ConflictError",
    "Cost",
    "CostLine",
    "Denial",
    "Engine",
    "EstimatePolicy",
    "Exclusion",
    "Fault",
    "FixedWindow",
    "ForkedError",
    "GatewayToken",
    "Handle",
    "Held",
    "InvalidError",
    "KeyedLimiter",
    "LimenError",
    "Limit",
    "LimitedError",
    "ManualClock",
    "NotFoundError",
    "Permit",
    "PricingPatch",
    "RateCard",
    "Settings",
    "Settlement",
    "SlidingWindow",
    "StorageError",
    "WeightedSampler",
    "WindowStatus",
    "__version__",
    "debug_build",
    "load_prices",
]

if debug_build:
    import warnings

    warnings.warn("this is a debug build of limen: it is right, and slow", RuntimeWarning, stacklevel=2)
