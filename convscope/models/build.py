"""build_model: a name and options -> the network, or one line that says what the model takes."""

import inspect
from typing import Any, cast, get_args, get_type_hints

from convscope.errors import UsageError
from convscope.models.base import ImageClassifier, Shape
from convscope.registry import MODELS


def build_model(name: str, in_shape: Shape, num_classes: int, **options: Any) -> ImageClassifier:
    """Build the model registered under `name` for pictures of `in_shape` (C, H, W).

    Raises:
        UsageError: unknown name or option, a value of the wrong kind, or pictures too small for the model.
    """
    model = MODELS.load(name)
    known = list(inspect.signature(model).parameters.values())[2:]  # after in_shape, num_classes
    hints = get_type_hints(model.__init__)
    names = [parameter.name for parameter in known]
    for option in options:
        if option not in names:
            choices = f"; choose from {', '.join(names)}" if names else "; it takes none"
            raise UsageError(f"{name} has no option {option!r}{choices}")
    for parameter in known:
        value, expected = options.get(parameter.name, parameter.default), type(parameter.default)
        if (allowed := get_args(hints[parameter.name])) and value not in allowed:
            raise UsageError(f"{name}: {parameter.name} must be one of {', '.join(allowed)}, got {value!r}")
        if type(value) is not expected and not (expected is float and type(value) is int):
            raise UsageError(f"{name}: {parameter.name} must be {expected.__name__}, got {value!r}")
        if expected is int and value < 1:
            raise UsageError(f"{name}: {parameter.name} must be at least 1, got {value}")
    try:
        return cast(ImageClassifier, model(tuple(in_shape), num_classes, **options))
    except UsageError:
        raise
    except ValueError as error:  # from a layer that the option went to
        raise UsageError(f"{name}: {error}") from None
    except RuntimeError as error:  # torch's allocator
        given = ", ".join(f"{option}={value}" for option, value in options.items())
        reason = str(error).splitlines()[0]
        raise UsageError(f"{name} for pictures {tuple(in_shape)} ({given}) cannot be set up: {reason}") from None
