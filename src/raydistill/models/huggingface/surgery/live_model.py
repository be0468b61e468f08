"""Blocks taken out of a stock model in memory: what its config and its modules then say."""

import contextlib
import copy
from collections.abc import Iterator, Mapping, Sequence
from inspect import signature
from typing import Any

import torch
from torch import Tensor, nn

from raydistill.models.huggingface.surgery.finding import (
    TABLES,
    as_written,
    block_list,
    cut_table,
    depth_fields,
    known_fields,
    language_part,
)
from raydistill.models.huggingface.surgery.layer_fields import BY_NUMBER, fields_without
from raydistill.models.huggingface.surgery.weight_changes import changed_tensor, names_needed

_CARRIED = {"prev_router_hidden_states", "output_g"}  # beside the hidden state, from block to block

_STREAMS = {"attn_output": "prev_attn_output", "hidden_states": "hidden_states"}

Said = list[tuple[str, str, int]]  # module, attribute, value


class LiveModel:
    """A stock model whose blocks leave and come back; its weights stay as they are.

    Tables beside the blocks stay whole, and what comes out of them is cut.

    Attributes:
        inner: the stock model.
        blocks: all of its blocks, by layer.
        kept: the layers that it has now, ascending.
    """

    def __init__(self, inner: Any, num_layers: int) -> None:
        self.inner = inner
        self.part, self.depth = language_part(type(inner).__name__, inner.config)
        self.list = block_list(type(inner).__name__, inner, num_layers)
        self.blocks: tuple[nn.Module, ...] = tuple(inner.get_submodule(self.list).children())
        self.kept: list[int] = list(range(num_layers))
        self._whole = copy.deepcopy(known_fields(self.settings))
        self._orders = [  # of Zamba 2's adapters, by layer
            (module, dict(order))
            for module in inner.modules()
            if isinstance(order := getattr(module, "layer_dic", None), dict)
        ]
        self._said: dict[tuple[int, ...], Said] = {}  # by layers kept
        self._changed: set[str] = set()  # fields, ever
        self._numbers = [_numbers(layer, block) for layer, block in enumerate(self.blocks)]
        for name, module in inner.named_modules():
            if f"{name}.weight".endswith(tuple(TABLES)):
                module.register_forward_hook(self._cut)

    @property
    def settings(self) -> Any:
        """The part of the config that speaks of the language model."""
        return getattr(self.inner.config, self.part) if self.part else self.inner.config

    @property
    def body(self) -> Any:
        """The innermost module that makes the hidden states that the head reads."""
        blocks = self.inner.get_submodule(self.list)
        first, *_ = self.list.split(".")
        named = (self.inner.get_decoder(), self.inner.base_model)
        parts = [part for part in named if part is not self.inner]
        holding = (part for part in parts if any(module is blocks for module in part.modules()))
        return next(holding, self.inner.get_submodule(first))

    def keep(self, blocks: nn.ModuleList) -> None:
        """Have these of its blocks, ascending.

        Raises:
            CannotLeaveError: if no config can say that the others have left.
        """
        numbers = {id(block): layer for layer, block in enumerate(self.blocks)}
        kept = [numbers[id(block)] for block in blocks]
        values = self._changed_fields(kept)
        self._changed |= values.keys()
        parent, _, name = self.list.rpartition(".")
        setattr(self.inner.get_submodule(parent), name, blocks)
        for new, old in enumerate(kept):
            for module, times, offset in self._numbers[old]:
                module.layer_idx = new * times + offset
        for module, order in self._orders:
            module.layer_dic = {new: order[old] for new, old in enumerate(kept) if old in order}
        # The depth comes first and dicts by layer come last: their numbers are checked against it.
        for key in sorted(self._changed, key=lambda key: (key in BY_NUMBER, key != self.depth)):
            setattr(self.settings, key, values.get(key, self._whole.get(key)))
        self.kept = kept
        if self._whole.get("num_kv_shared_layers"):
            self._follow()

    def _follow(self) -> None:
        """Have every module say what it would in a stock model of the config as it is now."""
        key = tuple(self.kept)
        if key not in self._said:
            self._said[key] = _said_by_stock(self.inner.config)
        modules = dict(self.inner.named_modules())
        for name, attribute, value in self._said[key]:
            setattr(modules[name], attribute, value)

    def written_fields(self, fields: Mapping[str, Any]) -> dict[str, Any]:
        """A config.json of the whole model as that of the layers that stay.

        Where the stock causal model of a wrapper is its language model alone (Qwen 3.5), so is it.
        """
        config = copy.deepcopy(dict(fields))
        inside = config.get("text_config")
        if isinstance(inside, dict) and inside.get("model_type") == self.inner.config.model_type:
            config = {"dtype": fields.get("dtype"), **inside}
            config.pop("_name_or_path", None)
        written = config.setdefault(self.part, {}) if self.part else config
        written.update(as_written(self.settings, written, self._changed_fields(self.kept)))
        return config

    def written_tensors(self) -> dict[str, Tensor]:
        """The tensors of the stock model of the layers that stay; tied ones are one tensor."""
        tensors: dict[str, Tensor] = self.inner.state_dict(keep_vars=True)
        written: dict[int, Tensor] = {}
        for name, tensor in tensors.items():
            if id(tensor) not in written:
                written[id(tensor)] = self._written(name, tensors)
        return {name: written[id(tensor)] for name, tensor in tensors.items()}

    def _written(self, name: str, tensors: Mapping[str, Tensor]) -> Tensor:
        blocks = f"{self.list}."
        if not name.startswith(blocks):
            return cut_table(name, tensors[name].detach(), len(self.blocks), self.kept)
        number, _, rest = name.removeprefix(blocks).partition(".")
        needed = names_needed(self._whole, rest) or (rest,)
        parts = {part: tensors[f"{blocks}{number}.{part}"].detach() for part in needed}
        return changed_tensor(self._whole, self.kept[int(number)], int(number), rest, parts)

    def _changed_fields(self, kept: Sequence[int]) -> dict[str, Any]:
        count = len(self.blocks)
        changed = {} if len(kept) == count else fields_without(self._whole, count, kept)
        return changed | depth_fields(self.settings, self.depth, len(kept))

    def _cut(self, _table: nn.Module, _inputs: Any, output: Tensor) -> Tensor:
        if len(self.kept) == len(self.blocks):
            return output
        by_layer = output.unflatten(-1, (len(self.blocks), -1))
        cut: Tensor = by_layer[..., self.kept, :].flatten(-2)
        return cut


def _numbers(layer: int, block: nn.Module) -> list[tuple[Any, int, int]]:
    """Modules that have the block's number: it times how often it counts, and what is added.

    LongCat's blocks have two attentions each, which are counted one by one.
    """
    known = [m for m in block.modules() if isinstance(getattr(m, "layer_idx", None), int)]
    numbers: list[int] = [m.layer_idx for m in known]  # type: ignore[misc]
    twice = any(n != layer and n // 2 == layer for n in numbers)
    times = [2 if twice else int(n == layer) for n in numbers]
    return [(m, t, n - layer * t) for m, n, t in zip(known, numbers, times, strict=True)]


def _said_by_stock(settings: Any) -> Said:
    """What the modules of a stock model of that config say of themselves in whole numbers."""
    from transformers import AutoModelForCausalLM  # noqa: PLC0415  (seconds)

    with torch.device("meta"):
        stock = AutoModelForCausalLM.from_config(copy.deepcopy(settings))
    return [
        (name, key, value)
        for name, module in stock.named_modules()
        if not module._parameters
        for key, value in vars(module).items()
        if isinstance(value, int) and key != "training"
    ]


@contextlib.contextmanager
def passing(model: nn.Module, blocks: str, gone: Sequence[int]) -> Iterator[None]:
    """In the block, these blocks do their work, their cache's too, and pass on their input."""

    def passed(
        module: nn.Module, inputs: tuple[Any, ...], named: dict[str, Any], output: Any
    ) -> Any:
        if hasattr(output, "attn_output"):  # Reformer's two streams
            return output._replace(**{name: named[of] for name, of in _STREAMS.items()})
        came = inputs[0] if inputs else named.get("hidden_states")
        if isinstance(output, Tensor):
            return came
        carried = [named[name] for name in _CARRIED if name in named] or inputs[1:2]
        second = carried if _CARRIED & signature(module.forward).parameters.keys() else []
        return (came, *second, *output[1 + len(second) :])

    modules = list(model.get_submodule(blocks).children())
    handles = [modules[layer].register_forward_hook(passed, with_kwargs=True) for layer in gone]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


@contextlib.contextmanager
def handing_over(body: nn.Module, states_BTD: Tensor) -> Iterator[None]:
    """In the block, `body` hands over these hidden states, whatever it is asked."""
    body.forward = lambda *_, **__: _Output((states_BTD,))
    try:
        yield
    finally:
        del body.forward


class _Output(tuple[Tensor]):
    """What a body gives, with nothing beside the hidden states."""

    __slots__ = ()

    @property
    def last_hidden_state(self) -> Tensor:
        return self[0]

    def __getattr__(self, name: str) -> None:
        if name.startswith("__"):
            raise AttributeError(name)
