"""A model in; out comes a private copy in eval mode that shares the storage of the model's parameters."""

import copy
from collections import OrderedDict
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from convscope.errors import ConvscopeError, UsageError

_HOOK_TABLES = frozenset(name for name in vars(nn.Module()) if "hooks" in name)
_SIMPLE = frozenset({bool, int, float, str, type(None)})


def eval_clone(model: nn.Module) -> nn.Module:
    """The same function as ``model.eval()``, as a separate object: what is done to it never reaches `model`.

    - Parameters share their storage with the model's (nothing is copied) and need no gradient, so that a
      backward pass neither computes nor stores gradients for them. Buffers, and tensors kept as plain
      attributes, are copied, because a forward pass may write into them. Inference tensors are copied:
      autograd refuses them.
    - Every module's `training` flag is False. Set directly, not by calling `eval()`: a module that merges
      weights in its own `train()` would do so in the storage that is shared.
    - The user's hooks are left out: one that records would record our passes. PyTorch's own pre-hooks that
      compute a weight (pruning, weight and spectral normalisation) are part of the function and stay.
    - Other attributes are deep-copied. A lambda or closure that captured a module still calls the original.

    Raises:
        UsageError: a scripted module, or a lazy one that has not seen its first input.
        ConvscopeError: an attribute that cannot be copied, by name.
    """
    memo: dict[int, Any] = {}
    plain: list[tuple[str, nn.Module, dict[str, Any]]] = []
    with torch.inference_mode(False):
        for name, module in model.named_modules():
            if isinstance(module, torch.jit.ScriptModule):
                raise UsageError(
                    f"{type(model).__name__} is scripted or contains a scripted module, whose layers cannot be looked "
                    "into; pass the Python module it was made from"
                )
            for attribute, value in vars(module).items():
                if attribute in _HOOK_TABLES:
                    memo[id(value)] = _kept_hooks(value)
                elif type(value) not in _SIMPLE:
                    _share_tensors(name, value, memo)
            if _is_plain(type(module)):
                shell = object.__new__(type(module))
                memo[id(module)] = shell
                plain.append((name, module, vars(shell)))
        for name, module, state in plain:
            _copy_attributes(name, module, state, memo)
        clone: nn.Module = copy.deepcopy(model, memo)
    for module in clone.modules():
        module.training = False
    return clone


def _is_plain(kind: type[nn.Module]) -> bool:
    """Whether a module's attributes are all there is to copy: it does not customise copying or pickling.

    Such modules are filled attribute by attribute, in about half of deepcopy's time, and an attribute that
    cannot be copied is named; the rest go through deepcopy.
    """
    return (
        not hasattr(kind, "__deepcopy__")
        and kind.__reduce_ex__ is nn.Module.__reduce_ex__
        and kind.__getstate__ is nn.Module.__getstate__
        # torch's own only add what older pickles lack
        and kind.__setstate__.__module__.startswith("torch.nn.")
    )


def _copy_attributes(name: str, module: nn.Module, state: dict[str, Any], memo: dict[int, Any]) -> None:
    """Fill `state`, the clone's `__dict__`, from `module`'s; `memo` says what is already copied or shared."""
    for attribute, value in vars(module).items():
        if attribute == "_compiled_call_impl":  # belongs to torch.compile and is bound to the original
            continue
        if type(value) in _SIMPLE:
            state[attribute] = value
            continue
        try:
            state[attribute] = copy.deepcopy(value, memo)
        except (TypeError, RuntimeError) as error:
            owner = f"layer {name!r}" if name else "the model"
            raise ConvscopeError(
                f"cannot copy attribute {attribute!r} of {owner} ({type(module).__name__}) for explaining: "
                f"{str(error).splitlines()[0]}; keep such an object outside the module"
            ) from error


def _share_tensors(name: str, value: object, memo: dict[int, Any]) -> None:
    """Enter into `memo` what stands in the clone for each tensor in an attribute of the module `name`."""
    for tensor in _tensors_in(value):
        if id(tensor) in memo:
            continue
        if is_lazy(tensor):
            raise UsageError(f"layer {name!r} is lazy and has no weights yet; pass one batch through the model first")
        if not isinstance(tensor, nn.Parameter):
            memo[id(tensor)] = tensor.detach().clone()
        else:
            alias = tensor.detach().clone() if tensor.is_inference() else tensor.detach()
            memo[id(tensor)] = nn.Parameter(alias, requires_grad=False)


def _tensors_in(value: object) -> Iterator[Tensor]:
    """The tensors in an attribute, also inside lists, tuples, sets and dicts."""
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, dict):
        for item in value.values():
            yield from _tensors_in(item)
    elif isinstance(value, list | tuple | set):
        for item in value:
            yield from _tensors_in(item)


def _kept_hooks(hooks: dict[int, Any]) -> OrderedDict[int, Any]:
    """The clone's copy of one hook table: empty, but for PyTorch's own pre-hooks that compute a weight.

    Ordered as in nn.Module, because removing a hook needs a weak reference, which a plain dict does not take.
    """
    return OrderedDict((key, hook) for key, hook in hooks.items() if _computes_a_weight(hook))


def _computes_a_weight(hook: object) -> bool:
    """Whether the hook, or a class it derives from, comes from torch.nn.utils."""
    kinds = (hook, *type(hook).__mro__)
    return any(str(getattr(kind, "__module__", "")).startswith("torch.nn.utils.") for kind in kinds)
