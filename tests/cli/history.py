"""A small history in the form of the Online Retail data set: made up, seeded, with everything its rules speak of."""

from __future__ import annotations

import csv
import gzip
from datetime import datetime, timedelta
from pathlib import Path
from random import Random

COLUMNS = ("ts", "invoice", "sku", "description", "qty", "price", "customer", "country")


def write_history(path: Path, *, invoices: int = 120, seed: int = 1) -> Path:
    """Write a gzip file of so many invoices, about 20 lines each, one of them longer than a reservation may be."""
    random = Random(seed)
    rows: list[tuple[str, ...]] = []
    moment = datetime(2011, 1, 4, 10, 0)
    for number in range(invoices):
        moment += timedelta(minutes=random.randrange(30))
        kind = random.choice(("sale", "sale", "sale", "sale", "return", "correction"))
        customer = str(10_000 + random.randrange(25)) if random.random() < 0.8 and kind != "correction" else ""
        country = "United Kingdom" if random.random() < 0.7 else "France"
        invoice = f"{'C' if kind == 'return' else ''}{500_000 + number}"
        lines = 230 if number == 7 else 1 if kind == "correction" else random.randrange(1, 40)
        for _ in range(lines):
            sku = f"{10_000 + min(random.randrange(60), random.randrange(60))}{random.choice(('', 'a', 'A', 'b'))}"
            units = random.choice((1, 1, 2, 3, 12, 40))
            if kind == "return" or (kind == "correction" and random.random() < 0.5):
                units = -units
            price = "0.0" if kind == "correction" else "2.95"
            rows.append(
                (f"{moment:%Y-%m-%dT%H:%M}", invoice, sku, "THING, ROUND", str(units), price, customer, country)
            )
        if kind == "sale" and random.random() < 0.4:
            service = random.choice(("DOT", "POST", "DCGS0003"))
            rows.append((f"{moment:%Y-%m-%dT%H:%M}", invoice, service, "", "1", "8.0", customer, country))
        if random.random() < 0.1:
            rows.append((f"{moment:%Y-%m-%dT%H:%M}", invoice, "10001", "", "0", "1.0", customer, country))
            rows.append((f"{moment:%Y-%m-%dT%H:%M}", invoice, "10002", "", "-3", "1.0", "12345", country))
    with gzip.open(path, "wt", encoding="utf-8", newline="") as text:
        writer = csv.writer(text)
        writer.writerow(COLUMNS)
        writer.writerows(rows)
    return path
