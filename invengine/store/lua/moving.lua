-- What a change of a reservation gives back and takes: tried first as a whole, then carried out. For amend.lua.

local moving = {} -- the functions of this fragment

do -- Lua allows 200 local names at once: what only these use ends with them
-- Units of an allocation to give back: an element of `gives`. `from` is the position or the receipt that gets them.
function moving.give(line, allocation, units)
  local given_back = { line = line, allocation = allocation, units = units }
  if is_on_hand(allocation.source) then
    given_back.p = find_position(line.sku, allocation.location, line.partition)
    given_back.from = given_back.p
  else
    given_back.from = incoming.of_source(line.sku, line.partition, allocation.location, allocation.source)
  end
  return given_back
end

-- Of the units that an allocation gives back, those that return to a ring-fence, and whose: the pooled ones go first.
local function back_to_fence(allocation, units)
  local out_of_fence, channel = fence_in(allocation.source)
  return math.max(0, out_of_fence - (open_of(allocation) - units)), channel
end

moving.back_to_fence = back_to_fence

-- Units that a line has, and how many of them are open. What was given back before is forgotten from here on.
function moving.units_of(line)
  local has, open = 0, 0
  for a = 1, #line.allocations do
    local allocation = line.allocations[a]
    allocation.quantity, allocation.released = allocation.quantity - allocation.released, 0
    has, open = has + allocation.quantity, open + open_of(allocation)
  end
  return has, open
end

-- A line that is there gets another date and slots, where its item says so.
function moving.set_standing(line, asked)
  if not asked[6] and asked[7] then
    line[LINE_FUTURE + 1] = slots.with_standing(line[LINE_FUTURE + 1], asked[7])
  end
end

-- Units that a line is to take: an element of `wants`.
function moving.want(line, units, asked, list)
  return { line = line, units = units, location = asked[3], split = asked[4], list = list }
end

-- Lends what is to be given back to the takes that are being decided (sign -1), or ends that (sign 1).
local function lend(gives, sign)
  for i = 1, #gives do
    local p, units = gives[i].p, gives[i].units
    if p then
      local fenced_units, channel = back_to_fence(gives[i].allocation, units)
      reserved[p] = reserved[p] + sign * units
      if fenced_units > 0 then
        change_fence(p, channel, -sign * fenced_units)
      end
    else
      gives[i].from.pegged = gives[i].from.pegged + sign * units
    end
  end
end

-- Tries all wants once. Leaves the takes in their list and every position as it was.
--   returns  nil when all are there, else the refusal; the partitions of the lines that units on hand do not cover, or
--            nil where they cover all
local function try_wants(gives, wants)
  local short, partitions
  lend(gives, -1)
  take_count = 0
  for n = 1, #wants do
    local wanted = wants[n]
    local line = wanted.line
    local missing, available, is_short =
      taking.take_line(n, line.partition, line.sku, wanted.units, wanted.split, wanted.list, false)
    if is_short then
      partitions = partitions or {}
      partitions[#partitions + 1] = line.partition
    end
    if missing > 0 then
      if available == 0 and not incoming.knows(line.sku, line.partition) then
        short, partitions = { 'UNKNOWN_SKU', line.sku, line[1] }, nil
        break
      end
      short = short or { 'INSUFFICIENT_STOCK' }
      local s = #short
      short[s + 1], short[s + 2], short[s + 3] = line[1], line.sku, wanted.location
      short[s + 4], short[s + 5] = wanted.units, available
    end
  end
  local count = take_count
  taking.undo(0)
  take_count = count
  lend(gives, 1)
  return short, partitions
end

-- Decides what an item gives back and takes; when units on hand do not do, expires what is due and plans anew.
--   plan     () -> lines, gives, wants; or nil and the refusal. Of the record as it is then: covering may change it
--   returns  lines, gives, wants, with the takes of the wants in their list; or nil, the refusal, and then perhaps the
--            partition to sweep before the item can be decided
function moving.decide(record, plan)
  local lines, gives, wants = plan()
  if not lines then
    return nil, gives
  elseif not units_are_reserved(record) then
    return nil, { 'INTERNAL' }
  end
  local refusal, partitions = try_wants(gives, wants)
  while partitions do
    local answer = expire_for(partitions)
    if answer == nil then
      break
    elseif answer ~= true then
      return nil, refusal or partitions, answer
    end
    lines, gives, wants = plan()
    refusal, partitions = try_wants(gives, wants)
  end
  if refusal then
    return nil, refusal
  end
  return lines, gives, wants
end

-- The allocation on hand that units of a line join, made where there is none: any at the location, but units out of a
-- ring-fence join none that has those of another channel; `into` first, where there is such. The partition's rows were
-- asked for before.
local function allocation_at(line, location, fenced_units, into)
  local function may_join(allocation)
    if allocation.location == location and allocation.quantity > 0 and is_on_hand(allocation.source) then
      local there, channel = fence_in(allocation.source)
      return there == 0 or fenced_units == 0 or channel == taker
    end
  end
  if into and may_join(into) then
    return into
  end
  for a = 1, #line.allocations do
    if may_join(line.allocations[a]) then
      return line.allocations[a]
    end
  end
  return add_allocation(line, location, '')
end

-- Writes the rows of an allocation on hand that gained or lost units: its position, its ring-fence, its hold.
local function shift_rows(record, line, allocation, p, units, fence_channel, kind, channel)
  local rows = rows_in(line.partition)
  touch(p)
  rows[#rows + 1] =
    position_row(p, 0, units, kind, channel .. '\t' .. record.id, '\t' .. record[ORDER_REF], now_text)
  if fence_channel then
    rows[#rows + 1] = fence_row(p, fence_channel)
  end
  if record[STATE] == 'HELD' then
    local open = open_of(allocation)
    local expires_at = open > 0 and record[EXPIRES_AT] or '0'
    rows[#rows + 1] = row_of_hold(allocation.leg, line.sku, allocation.location, open, expires_at, allocation.source)
  end
end

-- Gives units of an allocation back; `given_back.fenced` of them to the ring-fence that they came out of, where it says.
local function carry_back(record, given_back, kind, channel)
  local line, allocation, p, units = given_back.line, given_back.allocation, given_back.p, given_back.units
  if not p then
    allocation.quantity = allocation.quantity - units
    local cause = '\t' .. kind .. '\t' .. channel .. '\t' .. record.id
    incoming.unpeg(given_back.from, record, allocation.leg, units, open_of(allocation), cause, -1)
    return
  end
  local fenced_units, fence_channel = back_to_fence(allocation, units)
  fenced_units = given_back.fenced or fenced_units
  note_pool(p)
  allocation.quantity = allocation.quantity - units
  set_reserved(p, reserved[p] - units)
  if fenced_units > 0 then
    change_fence(p, fence_channel, fenced_units)
    allocation.source = source_of_fence((fence_in(allocation.source)) - fenced_units, fence_channel)
  end
  shift_rows(record, line, allocation, p, -units, fenced_units > 0 and fence_channel, kind, channel)
end

-- Has a line take the units of a take.
--   into     the allocation that has another part of it, or nil
--   returns  the allocation that has them, how many came out of the taker's ring-fence
local function carry_take(record, line, t, kind, channel, into)
  local p, units, allocation, fenced_units = take_position[t], take_units[t], nil, 0
  rows_in(line.partition)
  if p then
    fenced_units = take_from_fence(p, taker, units)
    allocation = allocation_at(line, location_of[p], fenced_units, into)
    allocation.quantity = allocation.quantity + units
    set_reserved(p, reserved[p] + units)
    if fenced_units > 0 then
      allocation.source = source_of_fence((fence_in(allocation.source)) + fenced_units, taker)
    end
    shift_rows(record, line, allocation, p, units, fenced_units > 0 and taker, kind, channel)
  else
    local receipt, cause = take_receipt[t], '\t' .. kind .. '\t' .. channel .. '\t' .. record.id
    if into and not is_on_hand(into.source) and receipt_in(into.source) == receipt.id and open_of(into) > 0 then
      into.quantity = into.quantity + units
      incoming.unpeg(receipt, record, into.leg, -units, open_of(into), cause, 1)
      return into, 0
    end
    allocation = add_allocation(line, receipt.location, taking.source_of(t))
    allocation.quantity = units
    incoming.peg(receipt, record, allocation.leg, units, cause)
  end
  if record[STATE] == 'HELD' then
    look_at(line.partition, record[EXPIRES_AT], text_of(record.home) .. '\t' .. record.id)
  end
  return allocation, fenced_units
end

moving.carry_back, moving.carry_take = carry_back, carry_take

-- Carries a decided item out: first what is given back, then the takes.
--   returns  whether nothing changed
function moving.carry_out(record, lines, gives, wants, kind, channel)
  if piece and piece.carry_out then
    return piece.carry_out(record, lines, gives, wants, kind, channel)
  end
  local before = concat(record, '\t')
  for i = 1, #gives do
    if gives[i].units > 0 then
      carry_back(record, gives[i], kind, channel)
    end
  end
  for t = 1, take_count do
    if take_units[t] > 0 then
      carry_take(record, wants[take_line[t]].line, t, kind, channel)
    end
  end
  write_lines(record, lines)
  if concat(record, '\t') == before then
    return true
  end
  close_if_done(record)
end
end
