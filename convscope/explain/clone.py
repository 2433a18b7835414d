"""A model in; out comes a private copy in eval mode that shares the storage of the model's parameters."""

import copy
import types
from collections import OrderedDict
from collections.abc import Iterator
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from convscope.errors import ConvscopeError, UsageError

_Begun = tuple[nn.Module, dict[str, Any], list[str]]  # a module, its clone's attributes, those still to do

_OWN = frozenset(name for name, value in vars(nn.Module()).items() if isinstance(value, dict | set))
_HOOK_TABLES = frozenset(name for name in _OWN if "hooks" in name)
# copying one of these gives the very object back
_SIMPLE = frozenset({bool, int, float, str, type(None), type, types.FunctionType, types.BuiltinFunctionType})


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
    plain: dict[type[nn.Module], bool] = {}
    begun: list[_Begun] = []
    modules: dict[nn.Module, None] = {}
    _collect(model, modules)
    with torch.inference_mode(False), torch.no_grad():
        for module in modules:
            kind = type(module)
            if kind not in plain:
                _refuse_scripted(kind, model)
                plain[kind] = _is_plain(kind)
            try:
                if plain[kind]:
                    begun.append(_begin(module, memo))
                else:
                    _prepare_deepcopy(module, memo)
            except _LazyError:
                raise UsageError(
                    f"layer {_name(module, model)!r} is lazy and has no weights yet; "
                    "pass one batch through the model first"
                ) from None
        for module, state, left in begun:
            if left:
                _finish(module, state, left, memo, model)
        clone: nn.Module = copy.deepcopy(model, memo)
    if not all(plain.values()):
        for module in clone.modules():
            module.training = False
    return clone


class _LazyError(Exception):
    """A parameter that has no numbers yet."""


def _collect(module: nn.Module, found: dict[nn.Module, None]) -> None:
    """Enter the module and all below it into `found`, once each, in the order of `named_modules`, but without names."""
    found[module] = None
    for child in module._modules.values():
        if child is not None and child not in found:
            _collect(child, found)


def _name(module: nn.Module, model: nn.Module) -> str:
    """The module's first name in the model."""
    first: str = next(name for name, found in model.named_modules() if found is module)
    return first


def _refuse_scripted(kind: type[nn.Module], model: nn.Module) -> None:
    if torch.jit.ScriptModule in kind.__mro__:
        raise UsageError(
            f"{type(model).__name__} is scripted or contains a scripted module, whose layers cannot be looked "
            "into; pass the Python module it was made from"
        )


def _is_plain(kind: type[nn.Module]) -> bool:
    """Whether a module's attributes are all there is to copy: it does not customise copying or pickling.

    Such modules are filled attribute by attribute, in a fraction of deepcopy's time, and an attribute that
    cannot be copied is named; the rest go through deepcopy.
    """
    return (
        not hasattr(kind, "__deepcopy__")
        and kind.__reduce_ex__ is nn.Module.__reduce_ex__
        and kind.__getstate__ is nn.Module.__getstate__
        # torch's own only add what older pickles lack
        and kind.__setstate__.__module__.startswith("torch.nn.")
    )


def _begin(module: nn.Module, memo: dict[int, Any]) -> _Begun:
    """The clone of a plain module but for what may lead to other modules; `memo` says what stands for which tensor.

    Two passes, because a tensor or a module must be in `memo` before anything that refers to it is copied.
    """
    state, left = dict(vars(module)), []
    state.pop("_compiled_call_impl", None)  # belongs to torch.compile and is bound to the original
    for attribute, value in state.items():
        kind = type(value)
        if kind in _SIMPLE:
            continue
        if attribute in _OWN:
            if not value:
                state[attribute] = kind()
            elif attribute in ("_parameters", "_buffers"):
                state[attribute] = {
                    k: None if tensor is None else _stand_in(tensor, memo) for k, tensor in value.items()
                }
            elif attribute == "_modules":
                left.append(attribute)
            else:
                state[attribute] = _kept_hooks(value) if attribute in _HOOK_TABLES else kind(value)
        elif kind is not tuple or not _SIMPLE.issuperset(map(type, value)):
            _share_tensors(value, memo)
            left.append(attribute)
    state["training"] = False
    memo[id(module)] = shell = object.__new__(type(module))
    object.__setattr__(shell, "__dict__", state)  # nn.Module's own looks for parameters in it, slowly
    return module, state, left


def _finish(module: nn.Module, state: dict[str, Any], left: list[str], memo: dict[int, Any], model: nn.Module) -> None:
    """Copy the attributes that `_begin` left, in whatever way they refer to each other."""
    for attribute in left:
        if attribute == "_modules":
            children = module._modules.items()
            state[attribute] = {k: memo[id(m)] if id(m) in memo else copy.deepcopy(m, memo) for k, m in children}
            continue
        try:
            state[attribute] = copy.deepcopy(state[attribute], memo)
        except (TypeError, RuntimeError) as error:
            owner = "the model" if module is model else f"layer {_name(module, model)!r}"
            raise ConvscopeError(
                f"cannot copy attribute {attribute!r} of {owner} ({type(module).__name__}) for explaining: "
                f"{str(error).splitlines()[0]}; keep such an object outside the module"
            ) from error


def _prepare_deepcopy(module: nn.Module, memo: dict[int, Any]) -> None:
    """Enter into `memo` what deepcopy shall take for the tensors and hooks of a module that is not plain."""
    for attribute, value in vars(module).items():
        if attribute in _HOOK_TABLES:
            memo[id(value)] = _kept_hooks(value)
        elif type(value) not in _SIMPLE:
            _share_tensors(value, memo)


def _share_tensors(value: object, memo: dict[int, Any]) -> None:
    """Enter into `memo` what stands in the clone for each tensor in an attribute of a module."""
    for tensor in _tensors_in(value):
        _stand_in(tensor, memo)


def _stand_in(tensor: Tensor, memo: dict[int, Any]) -> Tensor:
    """What stands in the clone for a tensor of the model: one and the same wherever the model refers to it."""
    if (known := memo.get(id(tensor))) is not None:
        return cast(Tensor, known)
    kind = type(tensor)
    if kind is Tensor:
        made = tensor.clone()
    elif kind is nn.Parameter and not tensor.is_inference():
        made = nn.Parameter(tensor, requires_grad=False)  # of the same storage
    elif is_lazy(tensor):
        raise _LazyError
    elif not isinstance(tensor, nn.Parameter):
        made = tensor.clone()
    else:
        made = nn.Parameter(tensor.clone() if tensor.is_inference() else tensor.detach(), requires_grad=False)
    memo[id(tensor)] = made
    return made


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
