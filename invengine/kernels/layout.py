"""Column numbers, status codes and sizes: what the arrays of the replica and its kernels mean.

Blocks are C-contiguous and two-dimensional, one line per thing, so that what is read together lies together.
"""

from __future__ import annotations

from typing import Final

# positions, int64 [rows, POSITION_COLUMNS]: one line per (SKU, location); the lines of one SKU are adjacent
LOCATION: Final = 0  # number of the location
ON_HAND: Final = 1  # units, 0 to 2^53-1
RESERVED: Final = 2  # units, as the store has it: holds that are over count until they are swept
EXPIRED: Final = 3  # units, part of RESERVED: holds that are over by the clock and not swept yet
REVISION: Final = 4  # of the partition when the position last changed
SAFETY_UNITS: Final = 5  # units that the rules for this SKU, here or everywhere, keep back
SAFETY_PARTS: Final = 6  # ten-thousandths of on_hand that those rules keep back, in its low PARTS_BITS bits; above them
# the millisecond since 1970 of the last count, 0 for none: a line of its own would make every position cross two
FENCES: Final = 7  # 1 + the first line of its ring-fences in `fences`, 0 when it has none
POSITION_COLUMNS: Final = 8  # 64 bytes: one line of the cache
PARTS_BITS: Final = 14
PARTS_MASK: Final = (1 << PARTS_BITS) - 1
COUNTED_MAX: Final = 2**48  # milliseconds: what a count may say, and fits

# fences, int64 [n, FENCE_COLUMNS]: ring-fences, one line per (position, channel), those of one position chained
FENCE_CHANNEL: Final = 0  # number of the channel
FENCE_UNITS: Final = 1  # as the store has it, 0 to 2^53-1
FENCE_OVER: Final = 2  # units that holds took out of it which are over by the clock and not swept yet: back in it
FENCE_HOLDS: Final = 3  # live holds whose units go back into it: the line stays while there are any
FENCE_NEXT: Final = 4  # 1 + the next line of the position, or 1 + the next free line; 0 at the end
FENCE_COLUMNS: Final = 5

# skus, int64 [skus, SKU_COLUMNS]: one line per SKU, by its number
FIRST_ROW: Final = 0  # where its lines in `positions` begin
ROWS: Final = 1  # how many it has
ROOM: Final = 2  # how many lines are set aside for it there
PARTITION: Final = 3  # of the store
SKU_COLUMNS: Final = 4

# selection, int64 [locations, SELECTION_COLUMNS]: what one kind of question asks of each location, by its number
FLOOR_UNITS: Final = 0  # units that the rules for location and channel keep back
FLOOR_PARTS: Final = 1  # ten-thousandths of on_hand that those rules keep back
RANK: Final = 2  # place among the locations asked about, by name; -1 when it is not asked about
INDEX: Final = 3  # place among the usable of these, by name; -1 when it cannot be used
WHY_NOT: Final = 4  # AvailabilityReason when not usable, else 0
CHANNEL: Final = 5  # number of the channel that asks, the same in every line
OWN_ONLY: Final = 6  # 1: that channel may take from its own ring-fence only, else 0
CAREFUL: Final = 7  # 1: own ring-fences only, or rules for confidence somewhere; the same in every line
RULE: Final = 8  # line of the first rule for confidence of the location, 0 when it has none
NOW: Final = 9  # in the first line: millisecond since 1970 by which counts are judged old
SELECTION_COLUMNS: Final = 10
# behind the lines of the locations, rules for confidence; RANK and INDEX are -1, as of a location not asked about
RULE_UNITS: Final = FLOOR_UNITS  # units that it keeps from being offered
RULE_PARTS: Final = FLOOR_PARTS  # ten-thousandths of on_hand that it keeps from being offered
RULE_AGE: Final = WHY_NOT  # it holds where the last count is at least so many milliseconds ago; 0: whenever it was
RULE_FEWER: Final = CHANNEL  # it holds where fewer units than this are on hand; 0: however many
RULE_NEXT: Final = RULE  # line of the next rule of the location, 0 after the last

# ignored, int64 [asked, IGNORED_COLUMNS], by rank: what a reservation of the one who asks holds, and so is free to them
IGNORED_UNITS: Final = 0  # units on hand
IGNORED_FENCED: Final = 1  # of these, units out of any ring-fence
IGNORED_OWN: Final = 2  # of these, units out of the ring-fence of the channel that asks
IGNORED_COLUMNS: Final = 3

# terms, int64 [rows, TERM_COLUMNS]: one line per position that was asked about
TERM_RANK: Final = 0
TERM_AVAILABLE: Final = 1
TERM_ON_HAND: Final = 2
TERM_RESERVED: Final = 3
TERM_SAFETY: Final = 4
TERM_REASONS: Final = 5  # bit n is set when AvailabilityReason n applies
TERM_FENCED: Final = 6  # units in ring-fences of other channels
TERM_OWN_FENCE: Final = 7  # units in the ring-fence of the channel that asks
TERM_UNCERTAIN: Final = 8  # units that rules for confidence keep from being offered
TERM_COLUMNS: Final = 9
REASON_SAFETY_STOCK: Final = 4  # as in the proto
REASON_SHORTFALL: Final = 5
REASON_RESERVED: Final = 6
REASON_RING_FENCE: Final = 8
REASON_CONFIDENCE: Final = 9
REASONS_MAX: Final = 9
LEVEL_OUT: Final = 1
LEVEL_LOW: Final = 2
LEVEL_IN_STOCK: Final = 3

# kits, int64 [usable, KIT_COLUMNS]: of a kit, one line per location that can be used, by INDEX
KIT_UNITS: Final = 0  # kits that can be taken there now
KIT_PARTS: Final = 1  # components that have a position there
KIT_COLUMNS: Final = 2

# arrivals, int64 [n, ARRIVAL_COLUMNS]: what is expected of one SKU, by number of the location and then by day. Of each
# location a line of day 0 comes first, which says what holds there whatever comes; each later day has one line
ARRIVAL_LOCATION: Final = 0
ARRIVAL_DAY: Final = 1  # since 1970, as it counts for promises; 0 in the first line of a location
ARRIVAL_FREE: Final = (
    2  # units that come on that day and are pegged to nobody; in the first line less than 0: backordered
)
ARRIVAL_SAFETY_UNITS: Final = (
    3  # in the first line, as SAFETY_UNITS: where the SKU has no position yet nothing else says it
)
ARRIVAL_SAFETY_PARTS: Final = 4  # likewise
ARRIVAL_COLUMNS: Final = 5

# steps, int64 [n, STEP_COLUMNS]: units that can be promised of one SKU; those of a location adjacent, by day
STEP_LOCATION: Final = 0
STEP_DAY: Final = 1  # from which on so many can be promised: 0 for now, which each location has, else as in arrivals
STEP_UNITS: Final = 2  # more than in the line before, if that is of the same location
STEP_COLUMNS: Final = 3

# bytes that `answer_availability` needs room for
POSITION_BYTES_MAX: Final = 142  # for each position
ANSWER_BYTES_MORE: Final = 16  # for what stands before them
QUERY_BYTES_MAX: Final = 32  # that `answer_queries` needs room for, of each query

# holds, int64 [slots, HOLD_COLUMNS]: one line per leg of a live hold
HOLD_KEY: Final = 0  # partition << LEG_BITS | leg
HOLD_SKU: Final = 1
HOLD_LOCATION: Final = 2
HOLD_UNITS: Final = 3
HOLD_EXPIRES_AT: Final = 4  # second since 1970
HOLD_OVER: Final = 5  # 1 when its units stand in EXPIRED, else 0
HOLD_NEXT: Final = 6  # next in its bucket of the wheel, or next free slot; -1 at the end
HOLD_PREVIOUS: Final = 7  # previous in its bucket, -1 at the head
HOLD_FENCED: Final = 8  # of its units, those that go back into a ring-fence
HOLD_FENCE: Final = 9  # the line of that ring-fence in `fences`, -1 for none
HOLD_COLUMNS: Final = 10
LEG_BITS: Final = 53
WHEEL_SECONDS: Final = 65_536  # holds that end later than this share buckets with sooner ones

# counters, int64 [COUNTERS]: what the kernels count
SKU_COUNT: Final = 0
ROW_COUNT: Final = 1  # lines of `positions` set aside
POSITION_COUNT: Final = 2  # lines of `positions` in use
ARENA_COUNT: Final = 3  # bytes of the SKU names' arena in use
HOLD_SLOTS: Final = 4  # lines of `holds` ever used
HOLD_COUNT: Final = 5  # live holds
HOLD_FREE: Final = 6  # first free line of `holds`, -1 when there is none
SECOND: Final = 7  # up to which the clock has ended holds
CREATED_COUNT: Final = 8  # lines of `created` in use
CREATED_WANTED: Final = 9  # 1: new positions are noted in `created`
ENTRY: Final = 10  # where decoding goes on: which entry,
OFFSET: Final = 11  # and at which byte of the buffer
NAME_AT: Final = 12  # first byte of the name that NEW_LOCATION or NEW_CHANNEL means
NAME_LENGTH: Final = 13
ROWS_WANTED: Final = 14  # lines of `positions` that FULL_POSITIONS asks for
FENCE_SLOTS: Final = 15  # lines of `fences` ever used
FENCE_FREE: Final = 16  # 1 + the first free line of `fences`, 0 when there is none
PASSED_COUNT: Final = 17  # lines of `passed` in use
CHANGED_COUNT: Final = 18  # lines of `changed` in use
CHANGED_ROWS: Final = 19  # P rows of SKUs that are noted there, those that came again counted again
COUNTERS: Final = 20

# created, int64 [n, CREATED_COLUMNS]: positions that came into being
CREATED_SKU: Final = 0
CREATED_LOCATION: Final = 1
CREATED_NAME_AT: Final = 2  # first byte of the SKU's name in the buffer
CREATED_NAME_LENGTH: Final = 3
CREATED_COLUMNS: Final = 4

# passed, int64 [n, PASSED_COLUMNS]: rows of receipts and of states, which are not for the columns
PASSED_ENTRY: Final = 0  # which of the entries
PASSED_START: Final = 1  # first byte of the row in the buffer
PASSED_END: Final = 2  # one past its last byte
PASSED_COLUMNS: Final = 3

# changed, int64 [SKUs that there is room for, or none when nobody watches, CHANGED_COLUMNS]: SKUs that have changed
CHANGED_SKU: Final = 0  # in line i: the i-th SKU to change since somebody looked
CHANGED_MARK: Final = 1  # in the line of a SKU, by its number: 1 when it is among them, else 0
CHANGED_COLUMNS: Final = 2

# entries, int64 [n, ENTRY_COLUMNS]: what to decode
ENTRY_PARTITION: Final = 0
ENTRY_REVISION: Final = 1
ENTRY_START: Final = 2  # first byte of its rows in the buffer
ENTRY_END: Final = 3
ENTRY_COLUMNS: Final = 4

# slots of a name index, uint64 [slots, SLOT_WORDS]: 32 bytes, the key inline when it has at most INLINE_BYTES
SLOT_WORDS: Final = 4
INLINE_BYTES: Final = 24

# how a decoding kernel ended
DONE: Final = 0
FULL_POSITIONS: Final = 1  # `positions` has no room; nothing of this line was done
FULL_SKUS: Final = 2  # `skus`, its index or its arena has no room
FULL_HOLDS: Final = 3
FULL_CREATED: Final = 4
NEW_LOCATION: Final = 5  # NAME_AT and NAME_LENGTH say which
MALFORMED: Final = 6  # the line at OFFSET is not a row
NEW_CHANNEL: Final = 7  # NAME_AT and NAME_LENGTH say which
FULL_FENCES: Final = 8
FULL_PASSED: Final = 9

# how one SKU of a batch ended: AvailabilityStatus of the proto
KNOWN: Final = 1
UNKNOWN_SKU: Final = 2

UNITS_MAX: Final = 2**53 - 1
MOMENTS_END: Final = 2**63 - 1  # a millisecond that never comes
TOTAL_MAX: Final = 2**62  # sums stop here instead of wrapping

# out of choose_locations, int64 [BEST_LINES + lines]
BEST_DAY: Final = 0  # the earliest day on which the whole basket is there
BEST_COST: Final = 1  # of the combination
BEST_PARCELS: Final = 2  # locations that it comes from, those not counted from which a parcel comes anyway
BEST_RANKS: Final = 3  # sum over the lines of the place of their location
BEST_LINES: Final = 4  # from here on the place of each line's location
BEST_NEVER: Final = 2**40  # no day: later than any
# Dates. A window of D local days; days inside the tables count from its first day, and D stands for "none within it".
# days, int64 [lines, D + 2]: one line per thing that has a value for each day
#   midnight of a time zone: the UTC minute at which the day begins there, also for day D
#   calendar: the first of its lines in `spans` that is of that day or later, also for days D and D + 1
#   cut-off: the UTC minute before which an order counts as of that day, 0 when the day is closed
#   set of days, two lines: how many of the set come before that day, also for days D and D + 1; and behind it the days
#     of the set, D after the last
#   slots: units, or orders, that can still be prepared on that day; below 0 where capacity was lowered
DAYS_MORE: Final = 2  # columns behind those of the window's days
FAR: Final = 1 << 60  # minutes: later than anything
NEVER: Final = 1 << 61  # minutes: units that will not come; the end of what begins at FAR

# spans, int64 [n, SPAN_COLUMNS]: working time of calendars, those of one calendar adjacent and in order; before the
# first of a calendar stands one that is over since ever (day -1), behind the last one that never begins (day D)
SPAN_START: Final = 0  # UTC minute
SPAN_END: Final = 1  # UTC minute, not part of it
SPAN_DAY: Final = 2
SPAN_BEFORE: Final = 3  # minutes of working time of the calendar before it, from the first day of the window
SPAN_COLUMNS: Final = 4

# routes, int64 [n, ROUTE_COLUMNS]: how units get from a location to a customer; what is a line is one of `days`
ROUTE_STATUS: Final = 0  # DATED, or what is missing
ROUTE_KIND: Final = 1
ROUTE_FRONT: Final = 2  # routes of one location that have the same number are the same up to the slot
ROUTE_ZONE: Final = 3  # line: midnight at the location
ROUTE_CALENDAR: Final = 4  # line: working time of the location
ROUTE_CUT_OFF: Final = 5  # line
ROUTE_HANDLING: Final = 6  # minutes of working time
ROUTE_SLOTS: Final = 7  # line, -1 when capacity has no limit
ROUTE_CAPACITY: Final = 8  # units, or orders, of a whole day
ROUTE_BY_ORDER: Final = 9  # 1 when capacity counts orders, 0 when units
ROUTE_PICKUPS: Final = 10  # line of a set: days on which the location works and the carrier collects
ROUTE_CARRIER: Final = 11  # line of a set: days that count in transit
ROUTE_TRANSIT: Final = 12  # such days
ROUTE_STORE: Final = 13  # line: working time of the store that units are sent to
ROUTE_STORE_HANDLING: Final = 14  # minutes of working time
ROUTE_OPENING: Final = 15  # line: when customers can collect
ROUTE_COLUMNS: Final = 16
BY_SHIPPING: Final = 1
BY_PICKUP: Final = 2
BY_STORE: Final = 3

# sources, int64 [n, SOURCE_COLUMNS]: one place that units of a line may come from
SOURCE_START: Final = 0  # UTC minute from which they are there; NEVER when they are not
SOURCE_UNITS: Final = 1
SOURCE_ROUTES: Final = 2  # its first line in `routes`; those of the other options follow
SOURCE_SLOT: Final = 3  # day since 1970 of a slot that is taken already, 0 for none
SOURCE_COLUMNS: Final = 4

# lines, int64 [n, LINE_COLUMNS], and baskets, int64 [n, BASKET_COLUMNS]
LINE_FIRST: Final = 0  # its first line in `sources`
LINE_SOURCES: Final = 1  # how many it has
LINE_COLUMNS: Final = 2
BASKET_FIRST: Final = 0  # its first line in `lines`
BASKET_LINES: Final = 1  # how many it has
BASKET_COLUMNS: Final = 2

# standing, int64 [n, STANDING_COLUMNS]: units that are there, of orders that stand
STANDING_START: Final = 0  # UTC minute from which they could be handled
STANDING_ROUTE: Final = 1  # its line in `routes`
STANDING_DAY: Final = 2  # day since 1970 before which they do not leave, 0 for none
STANDING_READY: Final = 3  # UTC minute before which they cannot be collected, 0 for none
STANDING_COLUMNS: Final = 4

# answers, int64 [sources, options, ANSWER_COLUMNS]: days since 1970, UTC minutes; 0 where there is none
ANSWER_STATUS: Final = 0
ANSWER_DAY: Final = 1  # of delivery, or on which it is ready
ANSWER_READY: Final = 2  # minute from which it can be collected
ANSWER_SHIP: Final = 3  # day on which the carrier, or the van, collects
ANSWER_SLOT: Final = 4  # day on which it is prepared
ANSWER_BEGIN: Final = 5  # minute in which handling begins
ANSWER_DONE: Final = 6  # minute in which handling is over
ANSWER_ARRIVAL: Final = 7  # day of arrival at the store
ANSWER_STORE_BEGIN: Final = 8  # minute in which handling begins there
ANSWER_STORE_DONE: Final = 9
ANSWER_COLUMNS: Final = 10

# promises, int64 [baskets, options, PROMISE_COLUMNS]
PROMISE_STATUS: Final = 0  # DATED, or that of the first line that has no date
PROMISE_DAY: Final = 1  # the latest of its lines
PROMISE_READY: Final = 2  # the latest minute of its lines, 0 when shipped
PROMISE_ORDER_BEFORE: Final = 3  # the first minute that is too late for that day
PROMISE_COLUMNS: Final = 4

# asked, int64 [n, ASKED_COLUMNS]: until when to order for a day
ASKED_SOURCE: Final = 0
ASKED_OPTION: Final = 1
ASKED_DAY: Final = 2  # since 1970
ASKED_COLUMNS: Final = 3

# how a date ended; of several, the least says best how near it came
DATED: Final = 1
NO_SLOT: Final = 2  # no day within the horizon has room
BEYOND_HORIZON: Final = 3
NO_UNITS: Final = 4  # the units will not come
NO_OPENING: Final = 5  # nobody said when customers can collect
NO_CALENDAR: Final = 6  # of the location
NO_STORE_CALENDAR: Final = 7
NO_LANE: Final = 8
NO_TRANSFER_LANE: Final = 9
NO_ZONE: Final = 10  # of the destination

# orders, int64 [orders, ORDER_COLUMNS]: what choose_for_orders is asked
ORDER_FIRST: Final = 0  # its first line in `lines`
ORDER_LINES: Final = 1  # how many it has
ORDER_END: Final = 2  # which of the tables of days and costs counts for it: where it goes, in which ways
ORDER_COLUMNS: Final = 3
# lines, int64 [lines, WANTED_COLUMNS]
WANTED_FIRST: Final = 0  # its first row in `rows`
WANTED_ROWS: Final = 1  # how many it has
WANTED_UNITS: Final = 2  # units that leave a location for it
WANTED_COLUMNS: Final = 3

# what a unit of scarce stock is worth, see docs/scarcity.md
NO_WAY: Final = -1  # in place of a cost: nothing goes from that location to that region
MILLIONTHS: Final = 1_000_000  # of a unit, of demand a day
THOUSANDTHS: Final = 1_000  # of a unit, of the size of a line
MINUTES_A_DAY: Final = 1_440
SCARCITY_ROUNDS: Final = 6
DEMAND_CLUSTERING: Final = 1.5  # lines come together, so demand spreads as if each were so much larger
DEMAND_UNSURENESS: Final = 0.1  # variance of a forecast over the square of its mean

# demand, int64 [n, DEMAND_COLUMNS]: a line that a customer wanted, its names being bytes of the change log
DEMAND_ENTRY: Final = 0  # which entry of the log it stands in
DEMAND_ORDER: Final = 1  # lines of one order have the same number, from 0
DEMAND_SKU_AT: Final = 2
DEMAND_SKU_LENGTH: Final = 3
DEMAND_PLACE_AT: Final = 4  # the location that served it
DEMAND_PLACE_LENGTH: Final = 5  # 0: nobody did yet
DEMAND_TO_AT: Final = 6  # country, postal code, location, with a TAB between two
DEMAND_TO_LENGTH: Final = 7  # 0: it was not sent, the customer came
DEMAND_UNITS: Final = 8
DEMAND_COLUMNS: Final = 9

# sourced, int64 [2, SOURCED_COLUMNS]: the best plan of a basket, then the best with another set of locations
SOURCED_STATUS: Final = 0
SOURCED_COST: Final = 1  # ten-thousandths of the currency: the next four together
SOURCED_PARCEL_COST: Final = 2
SOURCED_LINE_COST: Final = 3
SOURCED_UNIT_COST: Final = 4
SOURCED_SHORTAGE_COST: Final = 5
SOURCED_PARCELS: Final = 6  # locations that something comes from
SOURCED_RANKS: Final = 7  # the sum of their ranks
SOURCED_SHORT: Final = 8  # units that come from nowhere
SOURCED_BOUND: Final = 9  # no plan costs less; the cost itself where the status says that none is better
SOURCED_NODES: Final = 10  # what the search did to find it, 4,096 steps each; 0 where it was not needed
SOURCED_COLUMNS: Final = 11
SOURCED: Final = 1  # the best plan there is, and proved to be
SOURCED_WITHIN: Final = 2  # a plan; the search ended before it was proved, the bound says how far off it can be
NO_PLAN: Final = 3  # no plan keeps the rules, and that is proved
UNDECIDED: Final = 4  # the search ended without a plan and without a proof that there is none
TOO_LARGE: Final = 5  # units, costs or lines that could leave int64; nothing was looked at
# why a line cannot come from a location: the caller's own rules are 1 to RULE_STOCK - 1, 0 is that it can
RULE_STOCK: Final = 100  # no units there, or too few for a line that comes whole from one place
RULE_CAPACITY: Final = 101  # no capacity left, or too little for such a line
NO_LIMIT: Final = -1  # of capacity: none
WHOLE: Final = -1  # in place of a shortage price: all units of the line must come
SET_LINES_MAX: Final = 12  # lines of a basket for which all sets of lines are gone through
