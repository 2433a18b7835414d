"""Every setting of the service: its default and its meaning, which its flag, its variable and the docs share."""

from typing import Any, NamedTuple


class Setting(NamedTuple):
    """A default and, in a line, what the setting means."""

    default: Any
    meaning: str


SETTINGS = {
    "runs": Setting((), "Run folders, or names of networks that come with convscope; the first answers by default."),
    "host": Setting("127.0.0.1", "The address to listen on."),
    "port": Setting(8000, "The port to listen on; 0 takes a free one, which the log names."),
    "open": Setting(False, "Allow an address that other machines reach without an API key."),
    "api_key": Setting(None, "The key that clients send as X-API-Key; only as a variable, never as a flag."),
    "api_key_file": Setting(None, "A file with API keys, one a line; each is accepted."),
    "watch": Setting(False, "Swap a model in when the checkpoint in its run folder changes."),
    "threads": Setting(0, "Threads of a prediction; 0 for as many as PyTorch would take."),
    "batch": Setting(32, "Pictures that are computed together, at most."),
    "batch_wait": Setting(2.0, "Milliseconds that a picture waits for others, while others are on their way."),
    "queue": Setting(512, "Pictures that are prepared, waiting or computed for predictions; 429 beyond."),
    "explain_queue": Setting(16, "Pictures that are prepared, waiting or computed for explanations; 429 beyond."),
    "images": Setting(16, "Pictures in one request to predict."),
    "explain_images": Setting(4, "Pictures in one request to explain."),
    "timeout": Setting(10.0, "Seconds that a prediction may take, waiting included; 504 after."),
    "explain_timeout": Setting(60.0, "Seconds that an explanation may take, waiting included; 504 after."),
    "body": Setting(10.0, "Megabytes of one request's body; 413 beyond."),
    "bodies": Setting(256.0, "Megabytes of all bodies that are being received and answered; 429 beyond."),
    "pixels": Setting(16_000_000, "Pixels of one picture, checked before it is decoded."),
    "header_timeout": Setting(10.0, "Seconds in which a request's headers must have come; 408 after."),
    "body_timeout": Setting(20.0, "Seconds in which a request's body must have come; 408 after."),
    "write_timeout": Setting(30.0, "Seconds in which a client must take what waits to be sent to it; cut off after."),
    "connections": Setting(1024, "Connections that may be open at once; 503 beyond."),
    "grace": Setting(30.0, "Seconds that requests in flight get to be answered after SIGTERM."),
    "log_level": Setting("info", "debug, info, warning or error."),
}
