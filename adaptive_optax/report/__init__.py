"""One page of HTML about the logs in a directory. Needs jinja2 and matplotlib."""

from adaptive_optax.logging.optional_packages import optional

for _module in ("jinja2", "matplotlib"):
    optional("report", _module)

from adaptive_optax.report.html_page import write_report  # noqa: E402 - says first what is missing

__all__ = ["write_report"]
