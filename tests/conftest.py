"""How every test runs: which machine-dependent parts are on, and how hypothesis searches."""

from __future__ import annotations

import os

from hypothesis import HealthCheck, settings

# A compile inside an example takes seconds at the first one and nothing later, so time limits
# per example would only be noise. Where everything is required, runs repeat exactly.
settings.register_profile(
    "pocketgen",
    deadline=None,
    derandomize=os.environ.get("POCKETGEN_REQUIRE_ALL") == "1",
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("pocketgen")


def pytest_report_header() -> list[str]:
    """Say at the top of every run what it will skip."""
    data = os.environ.get("POCKETGEN_DATA")
    everything = os.environ.get("POCKETGEN_REQUIRE_ALL") == "1"
    return [
        f"POCKETGEN_DATA: {data or 'not set, tests on MNIST are left out'}",
        f"POCKETGEN_REQUIRE_ALL: missing tools and data {'fail' if everything else 'skip'} a test",
    ]
