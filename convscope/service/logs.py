"""Log records in, one JSON object a line on standard error out."""

import json
import logging
import sys
from datetime import UTC, datetime

LOG = logging.getLogger("convscope.service")
EXTRA = "values"  # the attribute of a record that holds what else there is to say


class JsonFormatter(logging.Formatter):
    """A record as one line of JSON: time, level, message, its values, and a traceback where there is one."""

    def format(self, record: logging.LogRecord) -> str:
        """As logging wants it."""
        line = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "message": record.getMessage(),
            **getattr(record, EXTRA, {}),
        }
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return json.dumps(line, default=str)


def log(level: int, message: str, **values: object) -> None:
    """Say something with values of its own."""
    LOG.log(level, message, extra={EXTRA: values})


def start_logging(level: str) -> None:
    """Send all records of this process to standard error: the service's from `level` on, a library's if it failed."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter())
    logging.basicConfig(handlers=[handler], level=logging.ERROR, force=True)  # clients' mistakes are no news
    LOG.setLevel(level.upper())
