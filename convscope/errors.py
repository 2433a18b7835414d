"""The errors that end a command: each is one line for a person, and knows its exit code."""


class ConvscopeError(Exception):
    """Something failed while doing what was asked; the command line prints it and exits 1."""

    exit_code = 1


class UsageError(ConvscopeError, ValueError):
    """The request itself is wrong (a flag, a name, a configuration value); exits 2."""

    exit_code = 2


class StoppedError(ConvscopeError):
    """A signal ended the work; what was done is saved, and the exit code is 128 + `signum`, as shells count."""

    def __init__(self, message: str, signum: int) -> None:
        super().__init__(message)
        self.signum, self.exit_code = signum, 128 + signum


class WriteError(ConvscopeError):
    """A file could not be written: the disk is full, say, or nothing may be written there; names the file."""


class DataError(ConvscopeError):
    """A file or archive is missing, broken or not what it should be; names the file and the reason."""
