"""
The full update of freshet in PyTorch, as the peer of `freshet bench full-update`: the same files, model, loss, optimisers, batches and number of threads.
What a day of examples is read with is fastavro; ids become numbers with a dictionary, the whole day is held in memory as columns and shuffled with one permutation.

It does less in two places, both to its advantage: frequencies of items are counted before training instead of estimated while the examples pass,
and no generation before is scored for a validation gate.

usage: full_update.py ARTIFACTS SETTINGS    prints one JSON object
"""

import glob
import json
import os
import resource
import sys
import time

import fastavro
import numpy as np
import torch
from safetensors.numpy import load_file, save_file

ACCUMULATOR_EPSILON = 1e-8


class Columns:
    """Grows like a list, is as small as an array."""

    def __init__(self, dtype):
        self.values = np.empty(1024, dtype)
        self.count = 0

    def append(self, value):
        if self.count == len(self.values):
            self.values = np.resize(self.values, 2 * self.count)
        self.values[self.count] = value
        self.count += 1

    def done(self):
        return self.values[: self.count]


def fnv1a(text):
    value = 0x811C9DC5
    for byte in text.encode():
        value = (value ^ byte) * 0x01000193 & 0xFFFFFFFF
    return value


class Features:
    """Features of users or items as columns; a categorical one holds a single value, as the examples of this benchmark do."""

    def __init__(self, specs):
        self.specs = specs
        self.columns = [Columns(np.int64 if s["kind"] == "categorical" else np.float32) for s in specs]
        self.buckets = {}

    def append(self, features):
        for spec, column in zip(self.specs, self.columns):
            if spec["kind"] == "categorical":
                (value,) = features["categorical"][spec["name"]]
                if value not in self.buckets:
                    self.buckets[value] = fnv1a(value)
                column.append(self.buckets[value] % spec["buckets"])
            else:
                column.append((features["numeric"][spec["name"]] - spec["mean"]) / spec["deviation"])

    def tensors(self, order=None):
        columns = [column.done() for column in self.columns]
        return [torch.from_numpy(column if order is None else column[order]) for column in columns]


def read_day(folder, specs):
    users, items = {}, {}
    user_column, item_column = Columns(np.int32), Columns(np.int32)
    weights, features = Columns(np.float32), Features(specs)
    for name in sorted(glob.glob(os.path.join(folder, "examples-*.avro"))):
        with open(name, "rb") as file:
            for example in fastavro.reader(file):
                user_column.append(users.setdefault(example["user_id"], len(users)))
                item_column.append(items.setdefault(example["item_id"], len(items)))
                weights.append(example["weight"])
                features.append(example["features"])
    return users, items, user_column.done(), item_column.done(), weights.done(), features


def read_catalogue(folder, specs, items):
    """Features by number of the item; items that nobody clicked get numbers behind the others."""
    found = {}
    with open(os.path.join(folder, "catalogue.avro"), "rb") as file:
        for entry in fastavro.reader(file):
            found[items.setdefault(entry["item_id"], len(items))] = entry["item"]["features"]
    features = Features(specs)
    for number in range(len(items)):
        features.append(found[number])
    return features.tensors()


class Tower(torch.nn.Module):
    def __init__(self, dim, spec, parameters, side):
        super().__init__()
        self.specs = spec["features"]
        parameter = lambda name: torch.nn.Parameter(torch.from_numpy(parameters[f"{side}.{name}"].copy()))
        self.projection = parameter("projection")
        self.hidden_weights, self.hidden_bias = parameter("hidden_weights"), parameter("hidden_bias")
        self.output_weights, self.output_bias = parameter("output_weights"), parameter("output_bias")
        self.embeddings = torch.nn.ModuleDict(
            {
                each["name"]: torch.nn.Embedding(
                    each["buckets"],
                    each["dim"],
                    sparse=True,
                    _weight=torch.from_numpy(parameters[f"{side}.embedding.{each['name']}"].copy()),
                )
                for each in self.specs
                if each["kind"] == "categorical"
            }
        )

    def dense_parameters(self):
        return [value for name, value in self.named_parameters() if not name.startswith("embeddings.")]

    def forward(self, rows, columns):
        parts = []
        for spec, column in zip(self.specs, columns):
            if spec["kind"] == "categorical":
                parts.append(self.embeddings[spec["name"]](column))
            else:
                parts += [column[:, None], torch.zeros(len(column), 1)]
        features = torch.cat(parts, 1)
        hidden = torch.addmm(self.hidden_bias, torch.cat([rows, features], 1), self.hidden_weights).relu()
        sums = rows + features @ self.projection + torch.addmm(self.output_bias, hidden, self.output_weights)
        return torch.nn.functional.normalize(sums, dim=1)


class Rows:
    """ID rows with row-wise Adagrad; row 0 stands for unknown ids and starts the others."""

    def __init__(self, start, count, accumulator, options):
        self.rows = torch.from_numpy(start).repeat(count + 1, 1)
        self.accumulators = torch.full((count + 1,), float(accumulator))
        self.options = options

    def update(self, slots, gradients):
        rate, gradient_norm_max, row_norm_max = self.options
        unique, places = torch.unique(slots, return_inverse=True)
        sums = torch.zeros(len(unique), gradients.shape[1]).index_add_(0, places, gradients)
        squares = (sums * sums).sum(1)
        clip = torch.clamp(gradient_norm_max / (squares.sqrt() + 1e-12), max=1)
        accumulators = self.accumulators[unique] + squares * clip * clip / sums.shape[1]
        self.accumulators[unique] = accumulators
        changed = self.rows[unique] - sums * (rate * clip / (accumulators.sqrt() + ACCUMULATOR_EPSILON))[:, None]
        norms = changed.norm(dim=1, keepdim=True)
        self.rows[unique] = changed * torch.clamp(row_norm_max / norms, max=1)


def main():
    artifacts, settings = sys.argv[1], json.loads(sys.argv[2])
    full, learner, model, batch = settings["full"], settings["learner"], settings["model"], settings["batch"]
    torch.set_num_threads(settings["threads"])
    torch.manual_seed(1)
    started = time.perf_counter()
    day = os.path.join(artifacts, "archive", f"day={settings['day']}")
    parent = os.path.join(artifacts, "generations", settings["parent"])
    users, items, user_slots, item_slots, weights, user_features = read_day(day, model["user"]["features"])
    clicked = len(items)
    item_features = read_catalogue(day, model["item"]["features"], items)

    count = len(user_slots)
    order = np.random.default_rng(1).permutation(count)
    user_slots = torch.from_numpy(user_slots[order]) + 1
    item_slots = torch.from_numpy(item_slots[order])
    weights = torch.from_numpy(weights[order])
    user_features = user_features.tensors(order)
    probability = torch.bincount(item_slots, minlength=len(items)).float() / count

    parameters = load_file(os.path.join(parent, "dense.safetensors"))
    towers = {side: Tower(model["dim"], model[side], parameters, side) for side in ("user", "item")}
    optimiser = load_file(os.path.join(parent, "optimiser.safetensors"))
    row_options = (full["rowLearningRate"], learner["gradientNormMax"], learner["rowNormMax"])
    user_rows = Rows(
        parameters["user.default_row"], len(users), optimiser["user.default_accumulator"][0], row_options
    )
    item_rows = Rows(
        parameters["item.default_row"], len(items), optimiser["item.default_accumulator"][0], row_options
    )
    adam = torch.optim.Adam(
        [each for tower in towers.values() for each in tower.dense_parameters()], lr=full["learningRate"], fused=True
    )
    sparse = torch.optim.SparseAdam(
        [each.weight for tower in towers.values() for each in tower.embeddings.values()], lr=full["learningRate"]
    )

    negatives = max(0, full["candidates"] - batch)
    steps, loss_sum = 0, 0.0
    for start in range(0, count, batch):
        part = slice(start, min(count, start + batch))
        size = part.stop - part.start
        drawn = torch.randint(len(items), (negatives,), dtype=torch.int32)
        candidates, places, counts = torch.unique(
            torch.cat([item_slots[part], drawn]), return_inverse=True, return_counts=True
        )
        candidates = candidates.long()
        targets = places[:size]
        expected = size * probability[candidates] + negatives / len(items)
        users_now = user_slots[part].long() * (torch.rand(size) >= full["userDropout"])
        items_now = (candidates + 1) * (torch.rand(len(candidates)) >= full["itemDropout"])
        rows_u = user_rows.rows[users_now].requires_grad_()
        rows_i = item_rows.rows[items_now].requires_grad_()
        vectors_u = towers["user"](rows_u, [column[part] for column in user_features])
        vectors_i = towers["item"](rows_i, [column[candidates] for column in item_features])
        bias = (counts / expected).log().repeat(size, 1)
        bias[torch.arange(size), targets] = 0
        logits = vectors_u @ vectors_i.T / model["temperature"] + bias
        losses = weights[part] * torch.nn.functional.cross_entropy(logits, targets, reduction="none")
        adam.zero_grad(set_to_none=True)
        sparse.zero_grad(set_to_none=True)
        losses.sum().backward()
        adam.step()
        sparse.step()
        user_rows.update(users_now, rows_u.grad)
        item_rows.update(items_now, rows_i.grad)
        loss_sum += float(losses.detach().sum())
        steps += 1

    with torch.no_grad():
        rows = item_rows.rows[1:].clone()
        rows[clicked:] = item_rows.rows[0]
        item_vectors = towers["item"](rows, item_features)
        state = {f"{side}.{name}": value.numpy() for side in towers for name, value in towers[side].state_dict().items()}
    target = os.path.join(artifacts, "pytorch.safetensors")
    tables = {"users": user_rows.rows.numpy(), "items": item_rows.rows.numpy(), "vectors": item_vectors.numpy()}
    save_file({**state, **tables}, target)
    seconds = time.perf_counter() - started
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    figures = {"examples": count, "steps": steps, "loss": loss_sum / count, "seconds": seconds}
    print(json.dumps({**figures, "examplesPerSecond": count / seconds, "peakRssBytes": peak}))


main()
