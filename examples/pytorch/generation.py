"""Writes a trained two-tower in the form that `freshet import` reads: docs/import.md of freshet describes every file."""

import json
from pathlib import Path

import fastavro
import onnx
import torch
from safetensors.torch import save_file
from torch._decomp import core_aten_decompositions
from torch.fx.experimental.proxy_tensor import make_fx


def write_generation(folder, model, towers, tables, day, gradients=False):
    """
    model: as in manifest.json. towers: side -> module of (rows[, features]). tables: side -> see the keys below.
    gradients: write the gradient graph of each tower too, which freshet needs where it cannot derive one.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    dense = {}
    for side, name in (("user", "freshet.UserId"), ("item", "freshet.ItemId")):
        table = tables[side]
        write_tower(folder / f"{side}-tower.onnx", towers[side], model["dim"], table.get("features"))
        if gradients:
            output_dim = model.get("outputDim", model["dim"])
            write_gradient(folder / f"{side}-tower-gradient.onnx", towers[side], model["dim"], output_dim, table.get("features"))
        schema = {"type": "record", "name": name, "fields": [{"name": "id", "type": "string"}]}
        with open(folder / f"{side}-ids.avro", "wb") as file:
            fastavro.writer(file, schema, [{"id": each} for each in table["ids"]])
        rows = {"rows": _floats(table["rows"])}
        if "seen_ms" in table:
            rows["seen_ms"] = torch.as_tensor(table["seen_ms"], dtype=torch.float64)
        save_file(rows, folder / f"{side}-rows.safetensors")
        dense[f"{side}.default_row"] = _floats(table["default_row"])
        for feature, embedding in table.get("embeddings", {}).items():
            dense[f"{side}.embedding.{feature}"] = _floats(embedding)
    save_file(dense, folder / "dense.safetensors")
    items = tables["item"]
    inputs = [_floats(items["rows"])]
    if "features" in items:
        inputs.append(_floats(items["features"]))
        save_file({"features": inputs[1]}, folder / "item-features.safetensors")
    with torch.no_grad():
        vectors = towers["item"](*inputs)
    save_file({"vectors": _floats(vectors)}, folder / "item-vectors.safetensors")
    counts = {"users": len(tables["user"]["ids"]), "items": len(items["ids"])}
    manifest = {"format": 2, "day": day, "model": model, "counts": counts}
    (folder / "manifest.json").write_text(json.dumps(manifest, indent=2) + "\n")


def write_tower(path, tower, dim, features):
    inputs = {"rows": torch.zeros(2, dim)}
    if features is not None:
        inputs["features"] = torch.zeros(2, features.shape[1])
    _export(path, tower.eval(), inputs, "vectors")


def write_gradient(path, tower, dim, output_dim, features):
    """The gradient graph of a tower: by the rows, given the one by the vectors. Whatever operators the tower has, PyTorch writes out."""

    def gradient(rows, *rest):
        *features, vectors_gradient = rest
        _, pull = torch.func.vjp(lambda r: tower(r, *features), rows)
        return pull(vectors_gradient)[0]

    inputs = {"rows": torch.randn(2, dim)}
    if features is not None:
        inputs["features"] = torch.randn(2, features.shape[1])
    inputs["vectors_gradient"] = torch.randn(2, output_dim)
    tower.eval().requires_grad_(False)
    graph = make_fx(gradient, core_aten_decompositions(), "symbolic", True)(*inputs.values())
    _export(path, graph.eval(), inputs, "rows_gradient")


def _export(path, module, inputs, output):
    torch.onnx.export(
        module,
        tuple(inputs.values()),
        str(path),
        input_names=list(inputs),
        output_names=[output],
        dynamic_shapes=tuple({0: torch.export.Dim("n")} for _ in inputs),
        opset_version=18,
        dynamo=True,
        external_data=False,
        verbose=False,
    )
    # Without the places in the source that each node came from.
    model = onnx.load(path)
    for node in model.graph.node:
        del node.metadata_props[:]
    onnx.save(model, path)


def _floats(values):
    return torch.as_tensor(values).detach().to(torch.float32).contiguous()
