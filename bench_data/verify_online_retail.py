"""Does a server hold what the Online Retail history says it must? Computes every position anew and compares.

Shares no code with the loader: it reads the CSV file by the rules below, replays it in memory, one event after the
other, and asks the server for every SKU through the plain gRPC stubs.

    python bench_data/verify_online_retail.py FILE [--server HOST:PORT] [--locations 40] [--scale 1]

The rules:
  stock lines     the code begins with five digits, the quantity is not 0; the SKU is the code in upper case
  what they are   invoice C...: return. Price 0 and no customer: correction (negative shrink, positive found).
                  Other negative: shrink. Else: sale
  channel         web if the invoice has a line DOT or DCGS..., else export if not United Kingdom, else trade if there
                  is a customer, else counter
  place           CRC-32 of the customer, or of the invoice where there is none, modulo the number of places;
                  0 and 1 are WH1 and WH2, then ST001, ST002, ...
  opening stock   per position the least that never goes negative; times scale, rounded down
  orders          a sale line in web or export takes what there is
  refused         any other sale, and shrink, of more than there is; nothing of it happens
A position that was never stocked holds 0. Ends with 0 when nothing differs, else with 1.
"""

import argparse
import csv
import gzip
import sys
import zlib
from fractions import Fraction

import grpc

from invengine.v1.availability_service_pb2 import GetAvailabilityRequest
from invengine.v1.availability_service_pb2_grpc import AvailabilityServiceStub
from invengine.v1.common_pb2 import Consistency


def read(path):
    """The stock lines of the file: (what, channel, sku, key of the place, units)."""
    with gzip.open(path, "rt", newline="") as text:
        lines = list(csv.DictReader(text))
    web = {line["invoice"] for line in lines if line["sku"].upper() == "DOT" or line["sku"].upper().startswith("DCGS")}
    for line in lines:
        units = int(line["qty"])
        if len(line["sku"]) < 5 or not line["sku"][:5].isdigit() or units == 0:
            continue
        if line["invoice"][0] == "C":
            what = "return"
        elif float(line["price"]) == 0 and line["customer"] == "":
            what = "shrink" if units < 0 else "found"
        else:
            what = "shrink" if units < 0 else "sale"
        if line["invoice"] in web:
            channel = "web"
        elif line["country"] != "United Kingdom":
            channel = "export"
        else:
            channel = "trade" if line["customer"] else "counter"
        yield what, channel, line["sku"].upper(), line["customer"] or line["invoice"], abs(units)


def place(key, places):
    """The name of the place where this customer or invoice is at home."""
    number = zlib.crc32(key.encode("utf-8")) % places
    return f"WH{number + 1}" if number < 2 else f"ST{number - 1:03d}"


def expected(path, places, scale):
    """(sku, place) -> units at the end; and how many lines of each kind had too little."""
    events = [(what, channel, (sku, place(key, places)), units) for what, channel, sku, key, units in read(path)]
    balance, lowest = {}, {}
    for what, _, position, units in events:
        balance[position] = balance.get(position, 0) + (units if what in ("return", "found") else -units)
        lowest[position] = min(lowest.get(position, 0), balance[position])
    stock = {position: int(-least * scale) for position, least in lowest.items()}
    touched = {position for position, units in stock.items() if units}
    short = {"order": 0, "sale": 0, "shrink": 0}
    for what, channel, position, units in events:
        if what in ("return", "found"):
            stock[position] += units
            touched.add(position)
        elif stock[position] >= units:
            stock[position] -= units
        elif what == "sale" and channel in ("web", "export"):
            short["order"] += 1
            stock[position] = 0
        else:
            short[what] += 1
    return {position: stock[position] for position in touched}, len(events), short


def held(server, skus):
    """(sku, place) -> (on hand, reserved) as the server says now."""
    with grpc.insecure_channel(server) as channel:
        ask = AvailabilityServiceStub(channel).GetAvailability
        for sku in skus:
            request = GetAvailabilityRequest(sku=sku, channel="web", consistency=Consistency(fully_consistent=True))
            for position in ask(request, timeout=30).positions:
                yield (sku, position.location), (position.on_hand, position.reserved)


def main():
    """Compare, print, end."""
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("file")
    arguments.add_argument("--server", default="127.0.0.1:50051")
    arguments.add_argument("--locations", type=int, default=40)
    arguments.add_argument("--scale", type=Fraction, default=Fraction(1))
    asked = arguments.parse_args()
    wanted, events, short = expected(asked.file, asked.locations, asked.scale)
    found = dict(held(asked.server, sorted({sku for sku, _ in wanted})))
    differences = [
        (position, wanted.get(position, 0), found.get(position, (0, 0)))
        for position in sorted(wanted.keys() | found.keys())
        if found.get(position, (0, 0)) != (wanted.get(position, 0), 0)
    ]
    for position, should, (on_hand, reserved) in differences[:20]:
        print(f"{position[0]} at {position[1]}: {should} expected, {on_hand} on hand, {reserved} reserved")
    print(f"events {events}, short or refused by the rules {short}")
    compared = len(wanted.keys() | found.keys())
    print(f"positions compared {compared}, units {sum(wanted.values())}, differences {len(differences)}")
    sys.exit(1 if differences else 0)


if __name__ == "__main__":
    main()
