-- Reservations that change their content: amend (quantities, lines), rebind (locations), hand over (channel, customer).
-- An item is one step: what it gives back counts for what it takes, and one short line refuses all of it.

function moving.change_and_take(args, change_record)
  taking.begin()
  return change(args, change_record, 1, EXPIRE_MAX)
end

do -- Lua allows 200 local names at once: what only these verbs use ends with them
local LINES_MAX = 200 -- of a reservation, as many as one may be made with
local LINE_QUANTITY = 4 -- place in a line of `lines_of`

-- A line of an item, one table:
--   1 line_id   2 units that the line is to have (amend)   3 the location that the caller named, or ''
--   4 how what it takes may be split and what else it may take, as `take_line` reads it   5 place in the lists; where its
--   list says how many units each candidate gives, those below 0 go back there (amend)
--   and for a line to add: 6 partition   7 sku   8 fulfilment   9 country   10 postal_code   11 destination_location
--   12 future, as the record says it; for a line that is there perhaps: 6 false   7 its new date and slots, as it says them
-- The time to live of an item is 1 when its channel borrows, else 0.

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
  local columns = {}
  for c = 1, #list do
    columns[c] = list[c] and {}
    for i = 1, list[c] and #ordered or 0 do
      columns[c][i] = list[c][ordered[i]]
    end
  end
  return columns
end

-- What a line gives back at each location where its list says so, of its last allocations there first.
--   returns  nil, or where it has fewer open units on hand: these, and how many were to go back there
local function give_exactly(line, list, gives)
  for k = 1, #list[1] do
    local back, open = -list[5][k], 0
    for a = #line.allocations, 1, -1 do
      local allocation = line.allocations[a]
      local is_there = allocation.location == list[1][k] and is_on_hand(allocation.source)
      local part = is_there and math.min(back - open, open_of(allocation)) or 0
      if part > 0 then
        gives[#gives + 1] = moving.give(line, allocation, part)
        open = open + part
      end
    end
    if open < back then
      return open, back
    end
  end
end

-- Units that a list says are to come from its candidates.
local function units_from(list)
  local units = 0
  for k = 1, #list[5] do
    units = units + math.max(0, list[5][k])
  end
  return units
end

-- The line that an item adds, without units yet; or nil and the refusal.
local function added_line(lines, by_id, asked)
  local count = slots.count_others(lines)
  local id = asked[1] == '' and text_of(count + 1) or asked[1]
  if by_id[id] then
    return nil, { 'LINE_EXISTS', id }
  elseif count >= LINES_MAX and byte(id) ~= 32 then
    return nil, { 'INVALID_ARGUMENT' }
  end
  local line = { id, text_of(asked[6]), asked[7], '0', asked[8], asked[9], asked[10], asked[11], asked[12] }
  line.partition, line.sku, line.allocations = asked[6], asked[7], {}
  lines[#lines + 1], by_id[id] = line, line
  return line
end

-- What a line gives back and wants to have another quantity; perhaps it is added for that. Returns nil or the refusal.
--   n  its place in the item
local function plan_line(lines, by_id, gives, wants, asked, n, lists)
  local units, line, refusal = given(asked[2], 0), by_id[asked[1]], nil
  if asked[6] then
    line, refusal = added_line(lines, by_id, asked)
  end
  if not line then
    return refusal or { 'LINE_NOT_FOUND', n }
  end
  local has, open = moving.units_of(line)
  local back, list = has - units, lists[asked[5]]
  if list[5] then -- worked out for the record as it was seen
    local there, wanted = give_exactly(line, list, gives)
    if there then
      return { 'QUANTITY_EXCEEDS_OPEN', n, there, wanted }
    end
    if units_from(list) > 0 then
      wants[#wants + 1] = moving.want(line, units_from(list), asked, list)
    end
    back = 0
  elseif back > open then
    return { 'QUANTITY_EXCEEDS_OPEN', n, open, back }
  elseif back < 0 then
    wants[#wants + 1] = moving.want(line, -back, asked, own_first(line, list))
  end
  for kind = 1, 3 do -- backorders, pegs, units on hand
    for a = #line.allocations, 1, -1 do
      local allocation = line.allocations[a]
      local part = kind_of(allocation.source) == kind and math.min(back, open_of(allocation)) or 0
      if part > 0 then
        gives[#gives + 1] = moving.give(line, allocation, part)
        back = back - part
      end
    end
  end
  line[LINE_QUANTITY] = text_of(units)
  moving.set_standing(line, asked)
end

moving.plan_line = plan_line

-- What an amendment gives back and wants, of the record as it is now: as moving.decide asks for it.
local function plan_amendment(record, items, at, lists)
  local lines, by_id = lines_of(record)
  local gives, wants = {}, {}
  for n = 1, items[at + 5] do
    local refusal = plan_line(lines, by_id, gives, wants, items[at + CHANGE_SIZE + n - 1], n, lists)
    if refusal then
      return nil, refusal
    end
  end
  return lines, gives, wants
end

local function amend_record(record, items, at, lists)
  if transfers.is_one(record) then
    return { 'OF_TRANSFER' }
  end
  taker, taker_borrows = items[at + 1], items[at + 3] == 1
  local lines, gives, wants = moving.decide(record, function()
    return plan_amendment(record, items, at, lists)
  end)
  if not lines then
    return gives, nil, wants -- the refusal, and the partition to sweep
  end
  return nil, moving.carry_out(record, lines, gives, wants, 'AMEND', items[at + 1])
end

verbs.amend = amend_record

-- Lines get new quantities, and lines are added: all of it or nothing. What is given back leaves the line's last
-- allocations first; what is taken comes from the line's own locations first. Refuses with LINE_NOT_FOUND, line |
-- QUANTITY_EXCEEDS_OPEN, line, open, units to give back | LINE_EXISTS, line_id | INVALID_ARGUMENT (too many lines) |
-- UNKNOWN_SKU, sku, line_id | INSUFFICIENT_STOCK, line_id, sku, location named, units to take, available, ...
redis.register_function('invengine_amend', function(_, args)
  return moving.change_and_take(args, amend_record)
end)

end

do
-- What a line gives back here and takes here again stays as it is.
local function leave_what_stays(gives, wants)
  local takes_of = {} -- line -> position or receipt -> its take
  for t = 1, take_count do
    local line = wants[take_line[t]].line
    takes_of[line] = takes_of[line] or {}
    takes_of[line][take_position[t] or take_receipt[t]] = t
  end
  for i = 1, #gives do
    local given_back = gives[i]
    local of_line = takes_of[given_back.line]
    local t = of_line and of_line[given_back.from]
    if t then
      local stays = math.min(given_back.units, take_units[t])
      given_back.units, take_units[t] = given_back.units - stays, take_units[t] - stays
    end
  end
end

-- What a rebinding gives back and wants, likewise. Slots follow the units: each location has a line of its own for them,
-- so that these get other quantities, or are added, as in an amendment.
local function plan_rebinding(record, items, at, lists)
  local lines, by_id = lines_of(record)
  local gives, wants = {}, {}
  for n = 1, items[at + 5] do
    local asked, open = items[at + CHANGE_SIZE + n - 1], 0
    local line, of_slots = by_id[asked[1]], byte(asked[1]) == 32
    if of_slots then
      local refusal = moving.plan_line(lines, by_id, gives, wants, asked, n, lists)
      if refusal then
        return nil, refusal
      end
    elseif not line then
      return nil, { 'LINE_NOT_FOUND', n }
    else
      moving.set_standing(line, asked)
    end
    for a = 1, of_slots and 0 or #line.allocations do
      local allocation = line.allocations[a]
      local units = open_of(allocation)
      if units > 0 then
        gives[#gives + 1] = moving.give(line, allocation, units)
        open = open + units
      end
    end
    if open > 0 then
      wants[#wants + 1] = moving.want(line, open, asked, lists[asked[5]])
    end
  end
  return lines, gives, wants
end

local function rebind_record(record, items, at, lists)
  if transfers.is_one(record) then
    return { 'OF_TRANSFER' }
  end
  taker, taker_borrows = items[at + 1], items[at + 3] == 1
  local lines, gives, wants = moving.decide(record, function()
    return plan_rebinding(record, items, at, lists)
  end)
  if not lines then
    return gives, nil, wants -- the refusal, and the partition to sweep
  end
  leave_what_stays(gives, wants)
  return nil, moving.carry_out(record, lines, gives, wants, 'REBIND', items[at + 1])
end

-- Takes the open units of an allocation out of the ring-fence of another channel and into the reach of `channel`, where
-- it may have them all; else they stay.
local function fence_anew(record, line, allocation, channel, borrows, cause)
  local units, source = open_units(record, allocation), record[allocation + SOURCE]
  local out_of_fence, fence_channel = fence_in(source)
  if units == 0 or out_of_fence == 0 or fence_channel == channel then
    return
  end
  local partition = whole(record[line + LINE_PARTITION])
  local p = find_position(record[line + LINE_SKU], record[allocation], partition)
  if not p or reserved[p] < units then
    broken('fewer units are reserved than the record says', record.id)
  end
  note_pool(p)
  reserved[p] = reserved[p] - units
  change_fence(p, fence_channel, out_of_fence)
  local may = math.min(on_hand[p] - reserved[p], reach_of(p, channel, borrows)) >= units
  local fenced_units = may and take_from_fence(p, channel, units) or 0
  reserved[p] = reserved[p] + units
  if not may then
    change_fence(p, fence_channel, -out_of_fence)
    return
  end
  local rows = rows_in(partition)
  touch(p)
  record[allocation + SOURCE] = source_of_fence(fenced_units, channel)
  rows[#rows + 1] = position_row(p, 0, 0, 'HAND_OVER', cause, '\t' .. record[ORDER_REF], now_text)
  rows[#rows + 1] = fence_row(p, fence_channel)
  if fenced_units > 0 then
    rows[#rows + 1] = fence_row(p, channel)
  end
  if record[STATE] == 'HELD' then
    rows[#rows + 1] = hold_row(record, line, allocation, units, record[EXPIRES_AT])
  end
end

-- Its one line is the table { channel, customer_ref, 1 when that channel borrows else 0 }, '' to keep; a time to live of 0
-- keeps the expiry.
local function hand_over_record(record, items, at)
  local to, seconds, before = items[at + CHANGE_SIZE], items[at + 3], concat(record, '\t')
  if seconds > 0 then
    local refusal = extend_record(record, items, at)
    if refusal then
      return refusal
    end
  elseif transfers.is_one(record) then
    return { 'OF_TRANSFER' }
  end
  if to[1] ~= '' then
    each_allocation(record, function(line, allocation)
      if is_on_hand(record[allocation + SOURCE]) then
        fence_anew(record, line, allocation, to[1], to[3] == 1, items[at + 1] .. '\t' .. record.id)
      end
    end)
    record[CHANNEL] = to[1]
  end
  set_reference(record, CUSTOMER_REF, 'customer:', to[2])
  return nil, seconds == 0 and concat(record, '\t') == before
end

verbs.rebind, verbs.hand_over = rebind_record, hand_over_record

-- The open units of lines move to other locations: all of them or none. Refuses with LINE_NOT_FOUND, line |
-- INSUFFICIENT_STOCK, line_id, sku, location named, units to move, available, ...
redis.register_function('invengine_rebind', function(_, args)
  return moving.change_and_take(args, rebind_record)
end)

-- A reservation gets another channel or customer, and perhaps a new time to live; ring-fences follow where they can.
-- Refuses with RESERVATION_CONFIRMED (nothing to extend).
redis.register_function('invengine_hand_over', function(_, args)
  return change(args, hand_over_record, 1, 0)
end)
end
