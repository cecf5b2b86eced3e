"""The table: every row, what it is compared with, what is aimed at, and which bench measures it.

A row is a ratio to its peer unless its unit says otherwise. `better` says in which direction.
"""

from __future__ import annotations

from typing import Literal, NamedTuple


class Row(NamedTuple):
    """One line of the table."""

    name: str
    says: str
    target: float | None = None
    stretch: float | None = None
    better: Literal["less", "more"] = "less"
    unit: str = "x"

    def verdict(self, median: float | None) -> str:
        """In words, from the median."""
        if median is None:
            return "void"
        if self.target is None:
            return ""

        def reaches(aim: float) -> bool:
            return median <= aim if self.better == "less" else median >= aim

        if not reaches(self.target):
            return "MISSED"
        return "stretch met" if self.stretch is not None and reaches(self.stretch) else "met"


G = "governor's keyed check"
MILLION = "governor of a million keys"
D = "dict[k] += 1"
SCALAR = "the pair by itself"
OURS = "limen's KeyedLimiter"
CEL = "the cel crate, context prebuilt"


def counted(name: str, says: str, most: int) -> dict[str, tuple[Row, ...]]:
    """A row of instructions, held by a gate to `most`: three hundredths above what they were."""
    return {f"callgrind:{name}": (Row(f"instructions_{name}", says, most, unit="instructions"),)}


# By bench: `rust:QUESTION` of the crate beside this, `callgrind:NAME` of its `count`, `python:FILE`.
TABLE: dict[str, tuple[Row, ...]] = {
    "rust:single": (
        Row("check_string", f"one check by string / {G}", 0.75, 0.55),
        Row("check_handle", f"one check by handle / {G}", 0.35, 0.15),
    ),
    "rust:sliding": (
        Row("sliding_take", "sliding window (60) / fixed window", 1.6, 1.3),
        Row("sliding_turn", "a turn of it / fixed window", 6),
    ),
    "rust:admit_settle": (
        Row("admit_settle_typical_string", f"admit + settle, 7 counters, by string / {G}", 2.4, 1.8),
        Row("admit_settle_typical_handle", f"admit + settle, 7 counters, by handle / {G}", 1.9, 1.4),
        Row("admit_settle_full_string", f"admit + settle, 21 counters, by string / {G}", 6, 4),
        Row("admit_settle_full_handle", f"admit + settle, 21 counters, by handle / {G}", 5.5, 3.5),
    ),
    "rust:cold": (
        Row("admit_settle_cold_string", f"admit + settle, a million keys, by string / {MILLION}", 2, 1.3),
        Row("admit_settle_cold_handle", f"admit + settle, a million keys, by handle / {MILLION}", 1.1, 0.6),
    ),
    "rust:denial": (
        Row("denial_typical", "denial that lists 7 limits / admit + settle", 0.5, 0.3),
        Row("denial_full", "denial that lists 21 limits / admit + settle", 0.5, 0.3),
    ),
    "rust:threads": (
        Row("threads_nothing_shared", "2 threads, nothing shared / 1 thread", 1.8, 1.95, "more"),
        Row("threads_customer_shared", "2 threads, one customer and provider / 1 thread", 0.9, 1.15, "more"),
        Row("threads_hot_key", "2 threads, one hot key / 1 thread", 0.6, 0.75, "more"),
    ),
    "rust:picks": (
        Row("pick_4", "weighted pick of 4 / rand's WeightedIndex", 0.6, 0.5),
        Row("pick_10", "weighted pick of 10 / rand's WeightedIndex", 1, 0.8),
        Row("pick_sticky_4", "sticky pick of 4 / plain pick", 12, 7),
    ),
    "rust:prices": (
        Row("price_call", "price of a call, a card of 42 fields / 4-term sum of f64", 5, 3),
        Row("price_lines", "the same with its lines / 4-term sum of f64"),
    ),
    "rust:priced": (
        Row("admit_settle_prices", "admit + settle, 7 counters, by prices / the same with costs stated"),
    ),
    "rust:rules": (
        Row("rule_simple", f"one simple rule / {CEL}", 0.2, 0.05),
        Row("rule_longer", f"one rule of five conditions / {CEL}"),
        Row("rules_ten", f"ten rules, the last one matches / one of {CEL}", 2.5, 1.3),
        Row("rules_thousand", "1,000 rules, ten about this model / those ten alone", 1.5, 1.1),
        Row("rule_compile", "compile of a simple rule, checked / the cel crate's", 2, 1),
        Row("rule_compile_longer", "compile of a rule of five conditions / the cel crate's", 2, 1),
    ),
    "rust:ruled": (
        Row("ruled_one", "admit + settle, 7 counters, one rule binds / without rules"),
        Row("ruled_reading", "the same, the rule reads how full the budgets are / without rules"),
        Row("ruled_ten", "ten rules, the last one binds / without rules"),
        Row("ruled_thousand", "1,000 rules, ten about this model, the last one binds / without rules"),
    ),
    "rust:edits": (
        Row("edit_key", "edit of a key among 100,000 / among 100", 2, 1.2),
        Row("create_key", "a new key among 100,000 / among 100", 2, 1.2),
        Row("create_override", "a new pricing override among 100,000 / among 100", 2, 1.2),
    ),
    "rust:memory": (
        Row("memory_key_bytes", "heap of an idle key, typical limits", 600, 350, unit="bytes"),
        Row("memory_million_mb", "a million of them, resident, decisions alone", 700, 450, unit="MB"),
    ),
    # Since the step that closes a window says what it closed: by string five more, by handle ten fewer.
    **counted("check_string", "one check by string", 270),
    **counted("check_handle", "one check by handle", 62),
    # Raised by a score when permits began to keep by which prices they are settled: two words more.
    **counted("sliding_take", "a take of a sliding window", 156),
    **counted("sliding_turn", "a take that turns a sliding window", 305),
    **counted("typical_string", "a pair, 7 counters, by string", 5_030),
    **counted("typical_handle", "a pair, 7 counters, by handle", 4_850),
    **counted("full_string", "a pair, 21 counters, by string", 9_430),
    **counted("full_handle", "a pair, 21 counters, by handle", 9_240),
    **counted("price_all", "price of a call, a card of 42 fields", 345),
    **counted("typical_priced", "a pair, 7 counters, by handle and prices", 6_400),
    **counted("denial_typical", "denial that lists 7 limits", 4_120),
    **counted("denial_full", "denial that lists 21 limits", 8_240),
    "python:checks": (
        Row("py_keyed_limiter", f"Python: KeyedLimiter.take by string / {D}", 1.5, 1.2),
        Row("py_fixed_window", f"Python: FixedWindow.take / {D}", 0.95, 0.8),
    ),
    "python:admit_settle": (
        Row("py_admit_settle_typical", f"Python: admit + settle, 7 counters, by string / {D}", 7, 5),
        Row("py_admit_settle_full", f"Python: admit + settle, 21 counters, by string / {D}", 11, 8),
        Row("py_admit_settle_priced", f"Python: admit + settle, 7 counters, by prices / {D}", 7, 5),
        Row("py_admit_settle_prices", "Python: admit + settle by prices / the same with costs stated"),
        Row("py_admit_settle_ruled", f"Python: admit + settle, 7 counters, one rule binds / {D}", 9, 6.5),
    ),
    "python:batch": (
        Row("py_batch_handles", f"Python: a pair in a batch of 1,000, handles / {SCALAR}", 0.45, 0.35),
        Row("py_batch_strings", f"Python: a pair in a batch of 1,000, list of str / {SCALAR}", 0.6, 0.5),
        Row("py_batch_mappings", f"Python: a pair in a batch of 1,000, settled by mappings / {SCALAR}"),
    ),
    "python:picks": (
        Row("py_pick_choices", "Python: weighted pick, faster than random.choices", 15, 25, "more"),
        Row("py_pick_bisect", "Python: weighted pick, faster than bisect", 2, 3, "more"),
    ),
    "python:prices": (
        Row("py_price_decimal", "Python: RateCard.cost, faster than a 4-term sum of Decimal", 1, 3, "more"),
        Row(
            "py_price_litellm",
            "Python: RateCard.cost, faster than litellm's",
            100,
            300,
            "more",
        ),
    ),
    "python:memory": (
        Row("py_memory_million_mb", "Python: a million keys and their entities", 700, 450, unit="MB"),
    ),
    "python:administer": (
        Row("admin_create", "Python: a key created, 100,000 in the store / a page written and synced"),
        Row("admin_create_many", "Python: a key created, 100,000 in the store / among 100", 2, 1.2),
        Row("admin_create_http", "POST of a key / the same created from Python"),
        Row("admin_page", "Python: a page of 100 keys, amid 100,000 / of 100", 2, 1.2),
        Row("admin_page_http", "GET of that page / the same from Python"),
        Row("admin_flush", "Python: a flush of what 10,000 keys have used / of what 100 have"),
        Row("admin_flush_idle", "Python: a flush of nothing, amid 100,000 keys / of what 100 have used"),
        Row("admin_open_s", "a store of 100,000 keys in 10,000 teams, opened", unit="s"),
        Row("admin_memory_mb", "the same, resident", unit="MB"),
    ),
    "python:imports": (
        Row("import_ms", "import limen, in a fresh interpreter", 40, 20, unit="ms"),
        Row("install_mb", "installed, with what it needs", 4, 2, unit="MB"),
    ),
    "python:served": (
        Row("http_admit", "POST /v1/admit, throughput / bare ASGI callable", 0.85, 0.92, "more"),
        Row("http_admit_p99", "POST /v1/admit, p99 / bare ASGI callable", 1.2),
        Row("http_batch", "batch of 256, decisions a second / single calls", 25, 40, "more"),
    ),
    "python:peers": (
        Row("peer_limen_fixed", f"{OURS}, fixed / {D}"),
        Row("peer_limen_sliding", f"{OURS}, sliding / {D}"),
        Row("peer_rust_py_rate_limit", f"rust-py-rate-limit, fixed / {D}"),
        Row("peer_floodgate_rs", f"floodgate-rs, FixedMapping / {D}"),
        Row("peer_limits_fixed", f"limits, fixed window / {D}"),
        Row("peer_limits_sliding", f"limits, sliding window counter / {D}"),
        Row("peer_throttled", f"throttled-py, token bucket / {D}"),
        Row("peer_pyrate", f"pyrate-limiter, exact log / {D}"),
    ),
}

ROWS: dict[str, Row] = {row.name: row for rows in TABLE.values() for row in rows}
