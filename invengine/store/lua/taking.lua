-- Taking: which units a line gets. The takes of the item that is being decided; nothing else is changed by them.

local take_count
local take_position, take_units, take_line -- by take: p or false, units, its line
local take_fenced -- by take: units that come out of the ring-fence of the taker
local take_receipt, take_due -- by take that is not on hand: the receipt (or backorders) and the day promised
local taker, taker_borrows -- the channel that takes, and whether it may take from the pool

local taking = {} -- the functions of this fragment

function taking.begin()
  take_position, take_units, take_line, take_fenced, take_receipt, take_due = {}, {}, {}, {}, {}, {}
end

do -- Lua allows 200 local names at once: what only these use ends with them
local function take(p, units, line)
  take_count = take_count + 1
  take_position[take_count], take_units[take_count], take_line[take_count] = p, units, line
  take_fenced[take_count] = fences_of[p] and take_from_fence(p, taker, units) or 0
  reserved[p] = reserved[p] + units -- its text follows when the item is recorded
end

local function take_from_receipt(receipt, due_day, units, line)
  take_count = take_count + 1
  take_position[take_count], take_units[take_count], take_line[take_count] = false, units, line
  take_receipt[take_count], take_due[take_count] = receipt, due_day
  receipt.pegged = receipt.pegged + units
end

function taking.undo(from)
  for i = take_count, from + 1, -1 do
    local p = take_position[i]
    if p then
      reserved[p] = reserved[p] - take_units[i]
      if take_fenced[i] > 0 then
        change_fence(p, taker, take_fenced[i])
      end
    else
      take_receipt[i].pegged = take_receipt[i].pegged - take_units[i]
    end
  end
  take_count = from
end

-- The larger of so many units and such a part of on_hand, in ten-thousandths; see domain.stock.safety_units.
local function larger_of(p, units, part)
  if part > 0 then
    local rest = on_hand[p] % 10000
    local share = (on_hand[p] - rest) / 10000 * part + math.ceil(rest * part / 10000)
    return share > units and share or units
  end
  return units
end

-- Units that rules for confidence keep from being offered at p, see domain.stock.uncertain_units.
--   rules  per rule: age of the last count in milliseconds from which on it holds, or 0; units below which on_hand must be
--          for it to hold, or 0; units and part of on_hand that it keeps
local function uncertain_at(p, rules)
  local most, counted_at = 0, number(counted_text[p])
  for r = 1, #rules, 4 do
    local age, fewer = rules[r], rules[r + 1]
    if (age == 0 or counted_at + age <= now_ms) and (fewer == 0 or on_hand[p] < fewer) then
      most = math.max(most, larger_of(p, rules[r + 2], rules[r + 3]))
    end
  end
  return math.min(most, on_hand[p])
end

-- Units that the taker may take at p when so many units, or such a part of on_hand, must stay, and what the rules for
-- confidence keep beside them.
--   rules  as above, or false
local function free_at(p, keep, part, rules)
  local free = on_hand[p] - reserved[p] - larger_of(p, keep, part)
  if rules then
    free = free - uncertain_at(p, rules)
  end
  if fences_of[p] or not taker_borrows then
    local reach = reach_of(p, taker, taker_borrows)
    return reach < free and reach or free
  end
  return free
end

taking.free_at = free_at

-- Takes the units of one line as far as they are on hand: whole from the first candidate that has them all, or in parts
-- when it may be split. Returns how many are missing, and how many there were (0, nil when nothing is missing).
--   list  { locations, units to keep, ten-thousandths of on_hand to keep (see domain.stock.safety_units) }: per candidate
--         each; and perhaps, false where there are none and others follow: { rules for confidence, see free_at }, { units
--         that each candidate is to give }, { 1 where receipts whose day is over stop counting, else 0 }
local function take_line_units(line, partition, sku, wanted, may_split, list, best_effort)
  local locations, units, parts, rules = list[1], list[2], list[3], list[4]
  local places = places_in(sku)
  local first, left, best, best_position = take_count, wanted, 0, nil
  for k = 1, #locations do
    local location = locations[k]
    local p = places[location]
    if p == nil then
      read_candidates(places, sku, partition, locations, k)
      p = places[location]
    end
    if p then
      local free = free_at(p, units[k], parts[k], rules and rules[k])
      if free >= left then
        take(p, left, line)
        return 0
      elseif free > 0 then
        if may_split then
          take(p, free, line)
          left = left - free
        elseif free > best then
          best, best_position = free, p
        end
      end
    end
  end
  if may_split then
    best = wanted - left
    if not best_effort then
      taking.undo(first)
    end
  elseif best_effort and best > 0 then
    take(best_position, best, line)
  end
  return wanted - best, best
end

-- Receipts of the candidates that have units for a line, in the order of taking: { place of the candidate, receipt,
-- units, day promised }.
--   stops  place of the candidate -> 1 when receipts whose day is over stop counting there; nil: nowhere
local function receipt_offers(partition, sku, place_of, needed_by, stops)
  local today, offers = floor(now_s / 86400), {}
  for _, receipt in pairs(incoming.all_of(sku, partition)) do
    local place = receipt and receipt.id ~= '' and place_of[receipt.location]
    local is_stopped = place and stops and stops[place] == 1 and receipt.day < today
    if place and not is_stopped and receipt.quantity > receipt.pegged then
      local day = receipt.day >= today and receipt.day or today + 1
      if needed_by == 0 or day <= needed_by then
        local due_day = needed_by > 0 and needed_by or day
        offers[#offers + 1] = { place, receipt, receipt.quantity - receipt.pegged, due_day, day }
      end
    end
  end
  sort(offers, function(one, other)
    if one[5] ~= other[5] then
      return one[5] < other[5]
    elseif one[1] ~= other[1] then
      return one[1] < other[1]
    end
    return precedes(one[2].id, other[2].id)
  end)
  return offers
end

-- All that a line could take, in the order in which it would: { place of the candidate, p or receipt, units, day
-- promised or nil for units on hand }. All candidates were read before.
local function offers_for(partition, sku, list, needed_by, backorder_units)
  local locations, offers, place_of = list[1], {}, {}
  local places = places_in(sku)
  for k = 1, #locations do
    local p = places[locations[k]]
    local free = p and free_at(p, list[2][k], list[3][k], list[4] and list[4][k]) or 0
    place_of[locations[k]] = k
    if free > 0 then
      offers[#offers + 1] = { k, p, free }
    end
  end
  local of_receipts = receipt_offers(partition, sku, place_of, needed_by, list[6])
  for i = 1, #of_receipts do
    offers[#offers + 1] = of_receipts[i]
  end
  for k = 1, backorder_units > 0 and #locations or 0 do
    local backorders = incoming.receipt_for(sku, partition, locations[k], '')
    if backorders.pegged < backorder_units then
      offers[#offers + 1] = { k, backorders, backorder_units - backorders.pegged, 0 }
    end
  end
  return offers
end

-- The candidate that a line gets its units from which may not be split, and what there is for it there.
local function best_place(offers, count, wanted)
  local here, all = {}, {}
  for i = 1, #offers do
    local place, units = offers[i][1], offers[i][3]
    all[place] = (all[place] or 0) + units
    if not offers[i][4] then
      here[place] = units
    end
  end
  local best
  for _, there in ipairs({ here, all }) do
    for place = 1, count do
      if (there[place] or 0) >= wanted then
        return place, all[place]
      end
    end
  end
  for _, there in ipairs({ here, all }) do
    for place = 1, count do
      if (there[place] or 0) > (best and there[best] or 0) then
        best = place
      end
    end
    if best then
      return best, all[best]
    end
  end
  return nil, 0
end

-- Takes what there is at one candidate, on hand and then of the future, as far as so many units. Returns how many it was.
local function take_at(line, partition, sku, list, k, wanted, future)
  local rules, stops = list[4] and { list[4][k] }, list[6] and { list[6][k] }
  local only = { { list[1][k] }, { list[2][k] }, { list[3][k] }, rules, false, stops }
  local offers, left = offers_for(partition, sku, only, given(future[2], 0), given(future[3], 0)), wanted
  for i = 1, #offers do
    local offer = offers[i]
    local units = math.min(offer[3], left)
    if units > 0 and offer[4] then
      take_from_receipt(offer[2], offer[4], units, line)
    elseif units > 0 then
      take(offer[2], units, line)
    end
    left = left - units
  end
  return wanted - left
end

-- Takes as many units at each candidate as its list says, or none at all: on hand or, where the line may wait, what comes
-- there too. Of slots, the units that must stay are minus the capacity of the day.
--   list     as above, and fifth: units at each candidate; those below 0 are given back elsewhere
--   future   as for take_line_future, or nil
--   returns  how many are missing, how many there were, whether units on hand did not suffice
local function take_exactly(line, partition, sku, list, future)
  local first, missing, there, is_short = take_count, 0, 0, false
  for k = 1, #list[1] do
    local wanted = list[5][k]
    if wanted > 0 then
      local p, free
      if slots.is_one(sku) then
        p = slots.position(sku, list[1][k], partition)
        free = slots.free_at(p, -list[2][k])
      else
        p = find_position(sku, list[1][k], partition)
        free = p and math.max(0, free_at(p, list[2][k], list[3][k], list[4] and list[4][k])) or 0
      end
      is_short = is_short or free < wanted
      if free >= wanted then
        take(p, wanted, line)
      elseif future then
        free = take_at(line, partition, sku, list, k, wanted, future)
      end
      missing, there = missing + math.max(0, wanted - free), there + math.min(wanted, free)
    end
  end
  if missing > 0 then
    taking.undo(first)
  end
  return missing, there, is_short
end

-- The same as take_line_units for a line that may take what is not on hand, when units on hand alone did not do.
--   future  { ..., last day whose receipts count or 0 for any, units that may be backordered at a position }
local function take_line_future(line, partition, sku, wanted, may_split, list, best_effort, future)
  local first, left, only = take_count, wanted, nil
  local offers = offers_for(partition, sku, list, given(future[2], 0), given(future[3], 0))
  if not may_split then
    only = best_place(offers, #list[1], wanted)
  end
  for i = 1, #offers do
    local offer = offers[i]
    local units = math.min(offer[3], left)
    if units > 0 and (may_split or offer[1] == only) then
      if offer[4] then
        take_from_receipt(offer[2], offer[4], units, line)
      else
        take(offer[2], units, line)
      end
      left = left - units
    end
  end
  if left > 0 and not best_effort then
    taking.undo(first)
  end
  return left, wanted - left
end

-- Takes the units of one line: on hand, and what is missing then from the future, where the line allows it.
--   split    1 when the units may come from several candidates, else 0; or for a line that may take what is not on hand
--            { the same, last day whose receipts count or 0, units that may be backordered at a position }
--   returns  how many are missing, how many there were (nil when nothing is), whether units on hand did not suffice
function taking.take_line(line, partition, sku, wanted, split, list, best_effort)
  if wanted == 0 then -- a line that others were asked for, and that got nothing
    return 0
  elseif list[5] then
    return take_exactly(line, partition, sku, list, type(split) == 'table' and split or nil)
  end
  if split == 1 or split == 0 then
    local missing, available = take_line_units(line, partition, sku, wanted, split == 1, list, best_effort)
    return missing, available, missing > 0
  end
  local may_split = split[1] == 1
  local missing = take_line_units(line, partition, sku, wanted, may_split, list, false)
  if missing == 0 then
    return 0
  end
  local available
  missing, available = take_line_future(line, partition, sku, wanted, may_split, list, best_effort, split)
  return missing, available, true
end

-- The source of an allocation that comes out of a take.
function taking.source_of(t)
  if take_position[t] then
    return source_of_fence(take_fenced[t], taker)
  elseif take_receipt[t].id == '' then
    return '?'
  end
  return '=' .. text_of(take_due[t]) .. ' ' .. take_receipt[t].id
end
end
