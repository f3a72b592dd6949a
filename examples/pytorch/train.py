"""Trains a two-tower on a MovieTweetings folder, day by day until a date, and writes it for `freshet import`."""

import argparse
import math
import re
from collections import Counter, defaultdict
from datetime import datetime, timezone
from pathlib import Path

import torch
from torch import nn
from torch.nn import functional

from generation import write_generation

GENRE_DIM = 16
YEAR_MEAN, YEAR_DEVIATION = 2006.0, 12.0
ACTIVATIONS = {"relu": nn.ReLU, "gelu": nn.GELU, "sigmoid": nn.Sigmoid}


class Tower(nn.Module):
    """[row; features] through an MLP to a vector of length 1. There is no way past the layers."""

    def __init__(self, inputs, hidden, outputs, activation):
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(inputs, hidden), ACTIVATIONS[activation](), nn.Linear(hidden, outputs))

    def forward(self, *inputs):
        return functional.normalize(self.layers(torch.cat(inputs, dim=1) if len(inputs) > 1 else inputs[0]), dim=1)


class UserTower(Tower):
    def forward(self, rows):
        return super().forward(rows)


class ItemTower(Tower):
    def forward(self, rows, features):
        return super().forward(rows, features)


def read_films(folder):
    """Film id -> (genres, year or None)"""
    films = {}
    for line in (folder / "movies.dat").read_text(encoding="utf-8").splitlines():
        film, title, genres = line.split("::")
        year = re.search(r" \((\d{4})\)$", title)
        films[film] = ([genre for genre in genres.split("|") if genre], int(year[1]) if year else None)
    return films


def read_days(folder, last):
    """Ratings as (user, film, seconds) by UTC day, until `last` and with it."""
    days = defaultdict(list)
    for line in (folder / "ratings.dat").read_text(encoding="utf-8").splitlines():
        user, film, _, seconds = line.split("::")
        day = datetime.fromtimestamp(int(seconds), timezone.utc).strftime("%Y-%m-%d")
        if day <= last:
            days[day].append((user, film, int(seconds)))
    return dict(sorted(days.items()))


class Features:
    """As freshet encodes them: a `vocabulary` is the mean of its embeddings, a `numeric` the standardised value and 1 where it is missing."""

    def __init__(self, films, ids):
        self.genres = sorted({genre for genres, _ in films.values() for genre in genres})
        places = {genre: place + 1 for place, genre in enumerate(self.genres)}
        self.shares = torch.zeros(len(ids), len(self.genres) + 1)
        self.years = torch.zeros(len(ids), 2)
        for number, film in enumerate(ids):
            genres, year = films[film]
            for genre in genres:
                self.shares[number, places[genre]] += 1 / len(genres)
            if year is None:
                self.years[number, 1] = 1
            else:
                self.years[number, 0] = (year - YEAR_MEAN) / YEAR_DEVIATION

    def encode(self, numbers, embedding):
        return torch.cat([self.shares[numbers] @ embedding, self.years[numbers]], dim=1)

    @property
    def declaration(self):
        return [
            {"kind": "vocabulary", "name": "genres", "values": self.genres, "dim": GENRE_DIM},
            {"kind": "numeric", "name": "year", "transform": "none", "mean": YEAR_MEAN, "deviation": YEAR_DEVIATION},
        ]


def train(days, films, options):
    torch.manual_seed(options.seed)
    # Steps this small are done before a second thread has begun.
    torch.set_num_threads(1)
    all_ratings = [rating for ratings in days.values() for rating in ratings]
    users = list(dict.fromkeys(user for user, _, _ in all_ratings))
    items = list(dict.fromkeys(film for _, film, _ in all_ratings))
    user_number = {user: number + 1 for number, user in enumerate(users)}
    item_number = {film: number + 1 for number, film in enumerate(items)}
    features = Features(films, items)
    dim = options.dim
    # Row 0 is that of whoever is new. All rows begin with it, as they do in freshet.
    rows = {side: nn.Parameter((torch.randn(1, dim) / math.sqrt(dim)).repeat(count + 1, 1))
            for side, count in (("user", len(users)), ("item", len(items)))}
    genres = nn.Parameter(torch.randn(len(features.genres) + 1, GENRE_DIM))
    towers = {"user": UserTower(dim, options.hidden, options.output_dim, options.activation),
              "item": ItemTower(dim + GENRE_DIM + 2, options.hidden, options.output_dim, options.activation)}
    dense = [*towers["user"].parameters(), *towers["item"].parameters(), genres]
    adam = torch.optim.Adam(dense, lr=options.learning_rate)
    adagrad = torch.optim.Adagrad(rows.values(), lr=options.row_learning_rate)
    counts = torch.zeros(len(items) + 1)
    for day, ratings in days.items():
        known = int(max(item_number[film] for _, film, _ in ratings)) + 1
        known = max(known, int(counts.nonzero().max()) + 1 if counts.any() else 0)
        pairs = torch.tensor([(user_number[user], item_number[film]) for user, film, _ in ratings])
        total = 0.0
        for _ in range(options.passes):
            for batch in pairs[torch.randperm(len(pairs))].split(options.batch):
                total += step(batch, known, counts, rows, genres, features, towers, options, (adam, adagrad))
        print(f"{day}  {len(pairs):5d} ratings  loss {total / (options.passes * len(pairs)):.3f}", flush=True)
    return users, items, rows, genres, features, towers


def step(batch, known, counts, rows, genres, features, towers, options, optimisers):
    """Softmax of each film among those of the batch and sampled ones (Yi et al. 2019: each is corrected by how often it comes)."""
    users, films = batch[:, 0].clone(), batch[:, 1]
    sampled = torch.randint(1, known, (options.negatives,))
    candidates, place = torch.unique(torch.cat([films, sampled]), return_inverse=True)
    counts += torch.bincount(films, minlength=len(counts))
    shares = counts[candidates] / counts.sum()
    expected = len(films) * shares + options.negatives / (known - 1)
    users[torch.rand(len(users)) < options.dropout] = 0
    item_rows = torch.where(torch.rand(len(candidates)) < options.dropout / 2, 0, candidates)
    user_vectors = towers["user"](functional.embedding(users, rows["user"], sparse=True))
    items = functional.embedding(item_rows, rows["item"], sparse=True)
    item_vectors = towers["item"](items, features.encode(candidates - 1, genres))
    logits = user_vectors @ item_vectors.T / options.temperature - expected.log()
    loss = functional.cross_entropy(logits, place[: len(films)], reduction="sum")
    for optimiser in optimisers:
        optimiser.zero_grad()
    loss.backward()
    for optimiser in optimisers:
        optimiser.step()
    return loss.item()


def seen(ratings, column, ids):
    latest = Counter()
    for rating in ratings:
        latest[rating[column]] = max(latest[rating[column]], 1_000 * rating[2])
    return [latest[each] for each in ids]


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path, help="folder with ratings.dat and movies.dat")
    parser.add_argument("out", type=Path, help="folder to write, for freshet import")
    parser.add_argument("--day", required=True, help="last day to train on, UTC, e.g. 2013-07-02")
    parser.add_argument("--dim", type=int, default=64)
    parser.add_argument("--hidden", type=int, default=128)
    parser.add_argument("--output-dim", type=int, default=64)
    parser.add_argument("--activation", choices=ACTIVATIONS, default="relu", help="freshet derives the gradient of relu; of others it is written beside the towers")
    parser.add_argument("--temperature", type=float, default=0.15)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--negatives", type=int, default=512)
    parser.add_argument("--passes", type=int, default=1, help="over each day")
    parser.add_argument("--dropout", type=float, default=0.05, help="share of users trained as new ones")
    parser.add_argument("--learning-rate", type=float, default=0.001)
    parser.add_argument("--row-learning-rate", type=float, default=0.05)
    parser.add_argument("--seed", type=int, default=17)
    options = parser.parse_args()
    films = read_films(options.data)
    days = read_days(options.data, options.day)
    if not days:
        parser.error(f"{options.data} has no ratings until {options.day}")
    users, items, rows, genres, features, towers = train(days, films, options)
    ratings = [rating for one in days.values() for rating in one]
    model = {
        "dim": options.dim,
        "outputDim": options.output_dim,
        "temperature": options.temperature,
        "user": {"features": []},
        "item": {"features": features.declaration},
    }
    encoded = features.encode(torch.arange(len(items)), genres)
    tables = {
        "user": {"ids": users, "rows": rows["user"][1:], "default_row": rows["user"][0], "seen_ms": seen(ratings, 0, users)},
        "item": {
            "ids": items, "rows": rows["item"][1:], "default_row": rows["item"][0], "seen_ms": seen(ratings, 1, items),
            "embeddings": {"genres": genres}, "features": encoded,
        },
    }
    write_generation(options.out, model, towers, tables, max(days), gradients=options.activation != "relu")
    print(f"{options.out}: {len(users)} users, {len(items)} items, trained on {min(days)} to {max(days)}")


if __name__ == "__main__":
    main()
