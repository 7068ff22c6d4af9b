"""Runs the parity test of a file of vectors with another program; needs nothing of the package that wrote it.

    python check_parity.py joy.gguf --model FOLDER --with repeng

Beside `joy.gguf` lie `joy.gguf.parity.json` (token ids, blocks, coefficient) and `joy.gguf.parity.safetensors` (hidden states
and logits before and after the vectors are added). The program given by `--with` adds the vectors to the model its own
way, and the states are compared: repeng, steering-vectors, llama.cpp (the model is a GGUF file then, and logits alone
are compared) or transformers (plain hooks). Ends with 0 where all agree, 1 where some differ, 2 where it cannot run.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    import torch

BLOCKS = ("model.layers", "transformer.h", "gpt_neox.layers", "model.language_model.layers", "model.decoder.layers")
Steering = Callable[["torch.nn.Module"], contextlib.AbstractContextManager[object]]


def vectors_of(path: Path) -> dict[int, np.ndarray]:
    """Vectors by block, as the file has them: what a plain hook adds at a coefficient of one."""
    import numpy as np

    if path.suffix == ".gguf":
        import gguf

        tensors = gguf.GGUFReader(str(path)).tensors
        return {int(t.name.split(".")[1]): np.array(t.data, dtype=np.float32) for t in tensors}
    if path.suffix == ".json":
        content = json.loads(path.read_text(encoding="utf-8"))
        entries = content if isinstance(content, list) else [content]
        return {
            e["layerNumber"] - 1: np.asarray(e["vector"], dtype=np.float32) * e["vectorDefaultSteerStrength"]
            for e in entries
        }
    if path.suffix == ".pt":
        import torch

        content = torch.load(path, map_location="cpu", weights_only=True)
        if isinstance(content, dict):
            return {int(layer): v.numpy() for layer, v in content["layer_activations"].items()}
        about = json.loads(path.with_name(path.name + ".about.json").read_text(encoding="utf-8"))
        return {about["layers"][0]["block"]: content.numpy()}
    if path.suffix == ".npz":
        named = dict(np.load(path, allow_pickle=False))
    else:
        from safetensors.numpy import load_file

        named = load_file(path)
    return {int(n.split(".")[1]) - n.endswith("resid_pre"): vector for n, vector in named.items()}


def blocks_of(model: torch.nn.Module) -> torch.nn.ModuleList:
    """The list of a model's blocks."""
    for name in BLOCKS:
        found: object = model
        for part in name.split("."):
            found = getattr(found, part, None)
        if found is not None:
            return found  # pyright: ignore[reportReturnType]
    raise SystemExit(f"no list of blocks in a {type(model).__name__}; it is looked for at {', '.join(BLOCKS)}.")


def with_repeng(path: Path, coefficient: float) -> Steering:
    """repeng's ControlModel."""
    import repeng  # pyright: ignore[reportMissingImports]

    control = repeng.ControlVector.import_gguf(str(path))

    @contextlib.contextmanager
    def steering(model: torch.nn.Module) -> Iterator[None]:
        wrapped = repeng.ControlModel(model, sorted(control.directions))
        wrapped.set_control(control, coefficient)
        try:
            yield
        finally:
            wrapped.unwrap()

    return steering


def with_steering_vectors(path: Path, coefficient: float) -> Steering:
    """steering-vectors' SteeringVector."""
    import torch
    from steering_vectors import SteeringVector  # pyright: ignore[reportMissingImports]

    vector = SteeringVector(**torch.load(path, map_location="cpu", weights_only=True))
    return lambda model: vector.apply(model, multiplier=coefficient)


def with_transformers(path: Path, coefficient: float) -> Steering:
    """Plain hooks on a model's blocks."""
    import torch

    # Neuronpedia's strengths are in its file
    factor = 1.0 if path.suffix == ".json" else coefficient
    vectors = {block: torch.from_numpy(vector) * factor for block, vector in vectors_of(path).items()}

    def added(output: object, vector: torch.Tensor) -> object:
        if isinstance(output, tuple):
            return (output[0] + vector, *output[1:])
        return output + vector  # pyright: ignore[reportOperatorIssue]

    @contextlib.contextmanager
    def steering(model: torch.nn.Module) -> Iterator[None]:
        layers = blocks_of(model)
        handles = []
        for block, vector in vectors.items():
            if block < 0:

                def before(module: object, args: tuple[object, ...], vector: torch.Tensor = vector) -> object:
                    return (added(args[0], vector), *args[1:])

                handles.append(layers[0].register_forward_pre_hook(before))
            else:

                def behind(module: object, args: object, output: object, vector: torch.Tensor = vector) -> object:
                    return added(output, vector)

                handles.append(layers[block].register_forward_hook(behind))
        try:
            yield
        finally:
            for handle in handles:
                handle.remove()

    return steering


def states_of(
    model: torch.nn.Module, steering: Steering, token_ids: Sequence[Sequence[int]], blocks: Sequence[int]
) -> Iterator[tuple[str, np.ndarray]]:
    """Hidden states and logits by name, before and after."""
    import torch

    unsteered: Steering = lambda model: contextlib.nullcontext()  # noqa: E731
    for state, around in (("before", unsteered), ("after", steering)):
        for number, ids in enumerate(token_ids):
            seen: dict[int, torch.Tensor] = {}
            with around(model), torch.no_grad():
                layers = blocks_of(model)

                def keep(module: object, args: object, output: object, block: int, seen: dict = seen) -> None:
                    seen[block] = output[0] if isinstance(output, tuple) else output  # pyright: ignore

                handles = [
                    layers[b].register_forward_hook(lambda m, args, out, b=b, keep=keep: keep(m, args, out, b))
                    for b in blocks
                ]
                logits = model(torch.tensor([list(ids)]), use_cache=False).logits
                for handle in handles:
                    handle.remove()
            for block, values in seen.items():
                yield f"{number}.{block}.{state}", values[0].float().numpy()
            yield f"{number}.logits.{state}", logits[0, -1].float().numpy()


def llama_states(
    model: Path, path: Path, coefficient: float, token_ids: Sequence[Sequence[int]]
) -> Iterator[tuple[str, np.ndarray]]:
    """Logits of llama.cpp, with the vectors in its buffer: a row for each block from 1 on."""
    import ctypes

    import llama_cpp as cpp  # pyright: ignore[reportMissingImports]
    import numpy as np

    vectors, longest = vectors_of(path), max(len(ids) for ids in token_ids)
    for state in ("before", "after"):
        # keys and values in float32: its half precision differs more than the vectors do
        llama = cpp.Llama(
            str(model), n_ctx=longest, n_threads=1, type_k=0, type_v=0, flash_attn=False, logits_all=True, verbose=False
        )
        if state == "after":
            width, last = len(next(iter(vectors.values()))), max(vectors)
            rows = np.zeros((last, width), dtype=np.float32)
            for block, vector in vectors.items():
                rows[block - 1] = coefficient * vector
            pointer = rows.ctypes.data_as(ctypes.POINTER(ctypes.c_float))
            if cpp.llama_set_adapter_cvec(llama.ctx, pointer, rows.size, width, 1, last):
                raise SystemExit("llama.cpp refuses the vectors.")
        for number, ids in enumerate(token_ids):
            llama.reset()
            llama.eval(list(ids))
            yield f"{number}.logits.{state}", np.array(llama.scores[len(ids) - 1], dtype=np.float32)


def compare(expected: Mapping[str, np.ndarray], found: Iterator[tuple[str, np.ndarray]], tolerance: float) -> bool:
    """Print one line for each state; whether all are within the tolerance."""
    import numpy as np

    good = True
    for name, values in found:
        wanted = expected[name]
        if values.shape != wanted.shape:
            raise SystemExit(f"{name} is {values.shape} here and {wanted.shape} in the parity file: another model.")
        error = float(np.abs(values - wanted).max() / np.abs(wanted).max())
        good &= error <= tolerance
        print(f"{name:24} {error:.2e} {'ok' if error <= tolerance else 'DIFFERS'}")
    return good


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the test that the arguments name."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("file", type=Path, help="the file of vectors")
    parser.add_argument("--model", required=True, help="folder or name of the model; for llama.cpp its GGUF file")
    parser.add_argument(
        "--with", dest="program", default="transformers", choices=[*PROGRAMS, "llama.cpp"], help="what adds the vectors"
    )
    parser.add_argument("--tolerance", type=float, default=1e-3, help="largest error over the largest expected value")
    chosen = parser.parse_args(arguments)
    from safetensors.numpy import load_file

    beside = chosen.file.with_name(chosen.file.name + ".parity.json")
    test = json.loads(beside.read_text(encoding="utf-8"))
    expected = load_file(beside.with_name(test["tensors"]))
    token_ids, coefficient = [text["token_ids"] for text in test["texts"]], test["coefficient"]
    if chosen.program == "llama.cpp":
        found = llama_states(Path(chosen.model), chosen.file, coefficient, token_ids)
    else:
        from transformers import AutoModelForCausalLM

        model = AutoModelForCausalLM.from_pretrained(chosen.model, attn_implementation="eager").float().eval()
        found = states_of(model, PROGRAMS[chosen.program](chosen.file, coefficient), token_ids, test["blocks"])
    good = compare(expected, found, chosen.tolerance)
    print("agrees" if good else "DIFFERS")
    return 0 if good else 1


PROGRAMS = {
    "repeng": with_repeng,
    "steering-vectors": with_steering_vectors,
    "transformers": with_transformers,
}

if __name__ == "__main__":
    sys.exit(main())
