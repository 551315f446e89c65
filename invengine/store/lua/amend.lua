-- Reservations that change their content: amend (quantities, lines), rebind (locations), hand over (channel, customer).
-- An item is one step: what it gives back counts for what it takes, and one short line refuses all of it.

do -- what only these verbs use: Lua allows 200 local names at once
local LINES_MAX = 200 -- of a reservation, as many as one may be made with
local LINE_QUANTITY = 4 -- place in a line of `lines_of`

-- A line of an item, one table:
--   1 line_id   2 units that the line is to have (amend)   3 the location that the caller named, or ''
--   4 1 when what it takes may come from several locations else 0   5 place in the lists
--   and for a line to add: 6 partition   7 sku   8 fulfilment   9 country   10 postal_code   11 destination_location

-- The lines of a record as tables, to be changed and written back: the fields up to the destination in their order,
-- and by name the partition (a number), the SKU and the allocations with their units as numbers.
--   returns  lines, and these by line_id
local function lines_of(record)
  local lines, by_id, at = {}, {}, LINES
  for n = 1, whole(record[LINE_COUNT]) do
    local line = { spread(record, at, at + LINE_ALLOCATIONS - 1) }
    local allocations, count = {}, whole(record[at + LINE_ALLOCATIONS])
    line.partition, line.sku, line.allocations = whole(record[at + LINE_PARTITION]), record[at + LINE_SKU], allocations
    at = at + LINE_FIELDS
    for a = 1, count do
      allocations[a] = {
        location = record[at],
        leg = record[at + LEG],
        quantity = whole(record[at + QUANTITY]),
        fulfilled = whole(record[at + FULFILLED]),
        released = whole(record[at + RELEASED]),
      }
      at = at + ALLOCATION_FIELDS
    end
    lines[n], by_id[line[1]] = line, line
  end
  return lines, by_id
end

-- Writes lines back to their record; allocations that have no units any more are left out.
local function write_lines(record, lines)
  local at = LINES
  record[LINE_COUNT] = text_of(#lines)
  for n = 1, #lines do
    local line, head, count = lines[n], at, 0
    for field = 1, LINE_ALLOCATIONS do
      record[head + field - 1] = line[field]
    end
    at = head + LINE_FIELDS
    for a = 1, #line.allocations do
      local allocation = line.allocations[a]
      if allocation.quantity > 0 then
        record[at], record[at + LEG] = allocation.location, allocation.leg
        record[at + QUANTITY], record[at + FULFILLED] = text_of(allocation.quantity), text_of(allocation.fulfilled)
        record[at + RELEASED] = text_of(allocation.released)
        at, count = at + ALLOCATION_FIELDS, count + 1
      end
    end
    record[head + LINE_ALLOCATIONS] = text_of(count)
  end
  for i = #record, at, -1 do
    record[i] = nil
  end
end

local function open_of(allocation)
  return allocation.quantity - allocation.fulfilled - allocation.released
end

-- Units of an allocation to give back: an element of `gives`.
local function give(line, allocation, units)
  return {
    line = line,
    allocation = allocation,
    units = units,
    p = find_position(line.sku, allocation.location, line.partition),
  }
end

-- Units that a line is to take: an element of `wants`.
local function want(line, units, asked, list)
  return { line = line, units = units, location = asked[3], may_split = asked[4] == 1, list = list }
end

-- A list of candidates with the line's own locations first, in the line's order.
local function own_first(line, list)
  local place_of, ordered = {}, {}
  for k = 1, #list[1] do
    place_of[list[1][k]] = k
  end
  for a = 1, #line.allocations do
    local allocation = line.allocations[a]
    if allocation.quantity > 0 and place_of[allocation.location] then
      ordered[#ordered + 1] = place_of[allocation.location]
      place_of[allocation.location] = nil
    end
  end
  for k = 1, #list[1] do
    if place_of[list[1][k]] then
      ordered[#ordered + 1] = k
    end
  end
  local locations, units, parts = {}, {}, {}
  for i = 1, #ordered do
    local k = ordered[i]
    locations[i], units[i], parts[i] = list[1][k], list[2][k], list[3][k]
  end
  return { locations, units, parts }
end

-- Lends what is to be given back to the takes that are being decided (sign -1), or ends that (sign 1).
local function lend(gives, sign)
  for i = 1, #gives do
    local p = gives[i].p
    reserved[p] = reserved[p] + sign * gives[i].units
  end
end

-- Tries all wants once. Leaves the takes in their list and every position as it was.
--   returns  nil when all are there; else the refusal, and when it is a shortage the partitions of the short lines
local function try_wants(gives, wants)
  local short, partitions
  lend(gives, -1)
  take_count = 0
  for n = 1, #wants do
    local wanted = wants[n]
    local line = wanted.line
    local missing, available =
      take_line_units(n, line.partition, line.sku, wanted.units, wanted.may_split, wanted.list, false)
    if missing > 0 then
      if available == 0 and call('EXISTS', stock_key(line.sku, line.partition)) == 0 then
        short, partitions = { 'UNKNOWN_SKU', line.sku }, nil
        break
      end
      short, partitions = short or { 'INSUFFICIENT_STOCK' }, partitions or {}
      local s = #short
      short[s + 1], short[s + 2], short[s + 3] = line[1], line.sku, wanted.location
      short[s + 4], short[s + 5] = wanted.units, available
      partitions[#partitions + 1] = line.partition
    end
  end
  local count = take_count
  undo_takes(0)
  take_count = count
  lend(gives, 1)
  return short, partitions
end

-- Decides the takes of an item; when it is short, expires what is due and decides anew. Returns nil or the refusal,
-- and then perhaps the partition to sweep before the item can be decided.
local function decide_wants(record, gives, wants)
  if not units_are_reserved(record) then
    return { 'INTERNAL' }
  end
  local refusal, partitions = try_wants(gives, wants)
  while partitions do
    local answer = expire_for(partitions)
    if answer ~= true then
      return refusal, answer
    end
    refusal, partitions = try_wants(gives, wants)
  end
  return refusal
end

-- The allocation of a line at a location, made where there is none yet. Its partition's rows were asked for before.
local function allocation_at(line, location)
  for a = 1, #line.allocations do
    local allocation = line.allocations[a]
    if allocation.location == location and allocation.quantity > 0 then
      return allocation
    end
  end
  local made = { location = location, leg = new_leg(line.partition), quantity = 0, fulfilled = 0, released = 0 }
  line.allocations[#line.allocations + 1] = made
  return made
end

-- Moves units of an allocation between free and reserved, and writes the rows. `units` is below 0 when they become
-- free.
local function shift(record, line, allocation, p, units, kind, channel)
  local rows = rows_in(line.partition)
  allocation.quantity = allocation.quantity + units
  set_reserved(p, reserved[p] + units)
  touch(p)
  rows[#rows + 1] =
    position_row(p, 0, units, kind, channel .. '\t' .. record.id, '\t' .. record[ORDER_REF], now_text)
  if record[STATE] == 'HELD' then
    local open = open_of(allocation)
    local expires_at = open > 0 and record[EXPIRES_AT] or '0'
    rows[#rows + 1] = row_of_hold(allocation.leg, line.sku, allocation.location, open, expires_at)
    if units > 0 then
      look_at(line.partition, expires_at, text_of(record.home) .. '\t' .. record.id)
    end
  end
end

-- Carries a decided item out: first what is given back, then the takes.
--   returns  whether nothing changed
local function carry_out(record, lines, gives, wants, kind, channel)
  if piece and piece.carry_out then
    return piece.carry_out(record, lines, gives, wants, kind, channel, write_lines, allocation_at)
  end
  local before = concat(record, '\t')
  for i = 1, #gives do
    local given_back = gives[i]
    if given_back.units > 0 then
      shift(record, given_back.line, given_back.allocation, given_back.p, -given_back.units, kind, channel)
    end
  end
  for t = 1, take_count do
    if take_units[t] > 0 then
      local line, p = wants[take_line[t]].line, take_position[t]
      rows_in(line.partition)
      shift(record, line, allocation_at(line, location_of[p]), p, take_units[t], kind, channel)
    end
  end
  write_lines(record, lines)
  if concat(record, '\t') == before then
    return true
  end
  close_if_done(record)
end

-- The line that an item adds, without units yet; or nil and the refusal.
local function added_line(lines, by_id, asked)
  local id = asked[1] == '' and text_of(#lines + 1) or asked[1]
  if by_id[id] then
    return nil, { 'LINE_EXISTS', id }
  elseif #lines == LINES_MAX then
    return nil, { 'INVALID_ARGUMENT' }
  end
  local line = { id, text_of(asked[6]), asked[7], '0', asked[8], asked[9], asked[10], asked[11] }
  line.partition, line.sku, line.allocations = asked[6], asked[7], {}
  lines[#lines + 1], by_id[id] = line, line
  return line
end

-- Units that a line has, and how many of them are open. What was given back before is forgotten from here on.
local function units_of(line)
  local has, open = 0, 0
  for a = 1, #line.allocations do
    local allocation = line.allocations[a]
    allocation.quantity, allocation.released = allocation.quantity - allocation.released, 0
    has, open = has + allocation.quantity, open + open_of(allocation)
  end
  return has, open
end

local function amend_record(record, items, at, lists)
  local lines, by_id = lines_of(record)
  local gives, wants = {}, {}
  for n = 1, items[at + 5] do
    local asked, refusal = items[at + CHANGE_SIZE + n - 1], nil
    local units, line = given(asked[2], 0), by_id[asked[1]]
    if asked[6] then
      line, refusal = added_line(lines, by_id, asked)
    end
    if not line then
      return refusal or { 'LINE_NOT_FOUND', n }
    end
    local has, open = units_of(line)
    local back = has - units
    if back > open then
      return { 'QUANTITY_EXCEEDS_OPEN', n, open, back }
    elseif back < 0 then
      wants[#wants + 1] = want(line, -back, asked, own_first(line, lists[asked[5]]))
    end
    for a = #line.allocations, 1, -1 do
      local allocation = line.allocations[a]
      local part = math.min(back, open_of(allocation))
      if part > 0 then
        gives[#gives + 1] = give(line, allocation, part)
        back = back - part
      end
    end
    line[LINE_QUANTITY] = text_of(units)
  end
  local refusal, sweep = decide_wants(record, gives, wants)
  if refusal then
    return refusal, nil, sweep
  end
  return nil, carry_out(record, lines, gives, wants, 'AMEND', items[at + 1])
end

-- What a line gives back here and takes here again stays as it is.
local function leave_what_stays(gives, wants)
  local takes_of = {} -- line -> p -> its take
  for t = 1, take_count do
    local line = wants[take_line[t]].line
    takes_of[line] = takes_of[line] or {}
    takes_of[line][take_position[t]] = t
  end
  for i = 1, #gives do
    local given_back = gives[i]
    local t = takes_of[given_back.line][given_back.p]
    if t then
      local stays = math.min(given_back.units, take_units[t])
      given_back.units, take_units[t] = given_back.units - stays, take_units[t] - stays
    end
  end
end

local function rebind_record(record, items, at, lists)
  local lines, by_id = lines_of(record)
  local gives, wants = {}, {}
  for n = 1, items[at + 5] do
    local asked, open = items[at + CHANGE_SIZE + n - 1], 0
    local line = by_id[asked[1]]
    if not line then
      return { 'LINE_NOT_FOUND', n }
    end
    for a = 1, #line.allocations do
      local allocation = line.allocations[a]
      local units = open_of(allocation)
      if units > 0 then
        gives[#gives + 1] = give(line, allocation, units)
        open = open + units
      end
    end
    if open > 0 then
      wants[#wants + 1] = want(line, open, asked, lists[asked[5]])
    end
  end
  local refusal, sweep = decide_wants(record, gives, wants)
  if refusal then
    return refusal, nil, sweep
  end
  leave_what_stays(gives, wants)
  return nil, carry_out(record, lines, gives, wants, 'REBIND', items[at + 1])
end

-- Its one line is the table { channel, customer_ref }, '' to keep; a time to live of 0 keeps the expiry.
local function hand_over_record(record, items, at)
  local to, seconds, before = items[at + CHANGE_SIZE], items[at + 3], concat(record, '\t')
  if seconds > 0 then
    local refusal = extend_record(record, items, at)
    if refusal then
      return refusal
    end
  end
  if to[1] ~= '' then
    record[CHANNEL] = to[1]
  end
  set_reference(record, CUSTOMER_REF, 'customer:', to[2])
  return nil, seconds == 0 and concat(record, '\t') == before
end

verbs.amend, verbs.rebind, verbs.hand_over = amend_record, rebind_record, hand_over_record

local function change_and_take(args, change_record)
  take_position, take_units, take_line = {}, {}, {}
  return change(args, change_record, 1, EXPIRE_MAX)
end

-- Lines get new quantities, and lines are added: all of it or nothing. What is given back leaves the line's last
-- allocations first; what is taken comes from the line's own locations first. Refuses with LINE_NOT_FOUND, line |
-- QUANTITY_EXCEEDS_OPEN, line, open, units to give back | LINE_EXISTS, line_id | INVALID_ARGUMENT (too many lines) |
-- UNKNOWN_SKU, sku | INSUFFICIENT_STOCK, line_id, sku, location named, units to take, available, ...
redis.register_function('invengine_amend', function(_, args)
  return change_and_take(args, amend_record)
end)

-- The open units of lines move to other locations: all of them or none. Refuses with LINE_NOT_FOUND, line |
-- INSUFFICIENT_STOCK, line_id, sku, location named, units to move, available, ...
redis.register_function('invengine_rebind', function(_, args)
  return change_and_take(args, rebind_record)
end)

-- A reservation gets another channel or customer, and perhaps a new time to live. Refuses with RESERVATION_CONFIRMED
-- (nothing to extend).
redis.register_function('invengine_hand_over', function(_, args)
  return change(args, hand_over_record, 1, 0)
end)
end
