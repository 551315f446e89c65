-- Reservation records: an array of the fields of README.md, changed in place, plus the names below.

local STATE, CHANNEL, EXPIRES_AT, REVISION, CUSTOMER_REF, ORDER_REF = 1, 2, 4, 5, 6, 7
local TOKEN, LINE_COUNT, LINES = 9, 10, 11 -- places in a record
local LINE_PARTITION, LINE_SKU, LINE_FUTURE, LINE_ALLOCATIONS, LINE_FIELDS = 1, 2, 8, 9, 10 -- places after the start of a line
local transfers = {} -- what transfers.lua needs of other fragments, and they of it
local LEG, QUANTITY, FULFILLED, RELEASED, SOURCE = 1, 2, 3, 4, 5 -- after the start of an allocation
local ALLOCATION_FIELDS = 6

local records -- reservation_id -> record, or false where there is none; record.id, .home, .was_state, .is_changed, and
-- .is_dropped where nothing of it is to stay
local changed_records -- in order of first change

local function begin_records()
  records, changed_records = {}, {}
end

local function read_record(id, home, text)
  local record, n = { id = id, home = home }, 0
  for field in gmatch(text .. '\t', '([^\t]*)\t') do
    n = n + 1
    record[n] = field
  end
  if n < LINES then
    broken('not a reservation at ' .. id, text)
  end
  record.was_state = record[STATE]
  records[id] = record
  work = work + 1
  return record
end

-- Calls visit(line, allocation) for each allocation: where its line and where itself starts in the record.
-- Stops at the first answer that is not nil and returns it.
local function each_allocation(record, visit)
  local line = LINES
  for _ = 1, whole(record[LINE_COUNT]) do
    local allocation = line + LINE_FIELDS
    for _ = 1, whole(record[line + LINE_ALLOCATIONS]) do
      local answer = visit(line, allocation)
      if answer ~= nil then
        return answer
      end
      allocation = allocation + ALLOCATION_FIELDS
    end
    line = allocation
  end
end

-- Whether a record is that of a transfer: then all its lines are.
function transfers.is_one(record)
  return record[LINES + 4] == 'TRANSFER'
end

local function open_units(record, allocation)
  local gone = whole(record[allocation + FULFILLED]) + whole(record[allocation + RELEASED])
  return whole(record[allocation + QUANTITY]) - gone
end

-- Whether the source of an allocation says that its units are on hand; else they are pegged or backordered.
local function is_on_hand(source)
  return source == '' or byte(source) == 35 -- '#'
end

-- Of the open units of an allocation on hand: how many came out of a ring-fence, and whose.
local function fence_in(source)
  if source == '' then
    return 0, ''
  end
  local units, channel = match(source, '^#(%d+) (.+)$')
  if not units then
    broken('not the source of units on hand', source)
  end
  return whole(units), channel
end

local function source_of_fence(units, channel)
  return units > 0 and '#' .. text_of(units) .. ' ' .. channel or ''
end

-- The receipt and the day of a promise of an allocation that is not on hand; '' and 0 for a backorder.
local function receipt_in(source)
  if source == '?' then
    return '', 0
  end
  local due_day, receipt_id = match(source, '^=(%d+) (.+)$')
  if not due_day then
    broken('not the source of an allocation', source)
  end
  return receipt_id, whole(due_day)
end

-- The row of a hold: `units` of an allocation on hand count until `expires_at`; 0 and '0' when it is none any more.
local function row_of_hold(leg, sku, location, units, expires_at, source)
  local fence = '0\t'
  if units > 0 and source ~= '' then
    local out_of_fence, channel = fence_in(source)
    fence = text_of(out_of_fence) .. '\t' .. channel
  end
  return 'H\t' .. leg .. '\t' .. sku .. '\t' .. location .. '\t' .. text_of(units) .. '\t' .. expires_at .. '\t'
    .. fence .. '\t\n'
end

-- The units of an allocation on hand stop being a hold, or `units` of it still are.
local function hold_row(record, line, allocation, units, expires_at)
  return row_of_hold(
    record[allocation + LEG], record[line + LINE_SKU], record[allocation], units, expires_at, record[allocation + SOURCE]
  )
end

-- Writes down a change of a record: its new revision, its row, its place. Returns its text.
local function record_changed(record)
  local rows, was = rows_in(record.home), record.last_state or record.was_state
  record[REVISION] = revision_texts[record.home]
  local text = concat(record, '\t')
  rows[#rows + 1] = 'R\t' .. record.id .. '\t' .. was .. '\t' .. text .. '\t\n'
  if was ~= record[STATE] and not piece then
    count_state(record[STATE], 1)
    if was == 'HELD' or was == 'CONFIRMED' then -- these two count what is, the others what became
      count_state(was, -1)
    end
  end
  record.last_state, record.text = record[STATE], text
  if not record.is_changed then
    record.is_changed = true
    changed_records[#changed_records + 1] = record
  end
  return text
end

writers[#writers + 1] = function()
  for i = 1, #changed_records do
    local record = changed_records[i]
    local state = record[STATE]
    if state == 'HELD' or state == 'CONFIRMED' then
      write_field(record.home, 'reservations', record.id, record.text)
    else
      hash_drops[#hash_drops + 1] = { tags[record.home] .. 'reservations', record.id }
      if record.was_state ~= 'HELD' and record.was_state ~= 'CONFIRMED' then -- a closed one that changed begins its time anew
        hash_drops[#hash_drops + 1] = { tags[record.home] .. closed_before, record.id }
      end
      if not record.is_dropped then
        write_field(record.home, closed_now, record.id, record.text)
      end
    end
  end
end

-- Remembers the answer to a request. `request` is channel TAB request_id.
local answered_requests -- of this call: request -> fingerprint TAB reservation_id TAB record

local function remember_request(partition, request, fingerprint, id, text)
  local answer = fingerprint .. '\t' .. id .. '\t' .. text
  answered_requests[request] = answer
  write_field(partition, requests_now, request, answer)
end

-- What a request was answered before: nil, or the outcome for it.
local function earlier_answer(request, fingerprint, stored)
  local answer = answered_requests[request] or stored
  if not answer then
    return nil
  end
  local first, rest = match(answer, '^([^\t]*)\t(.*)$')
  if first ~= fingerprint then
    return { 'REQUEST_MISMATCH' }
  end
  return { 'REPEATED', rest }
end

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
        source = record[at + SOURCE],
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
        record[at + RELEASED], record[at + SOURCE] = text_of(allocation.released), allocation.source
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
