-- Reservation records: an array of the fields of README.md, changed in place, plus the names below.

local STATE, CHANNEL, EXPIRES_AT, REVISION, CUSTOMER_REF, ORDER_REF = 1, 2, 4, 5, 6, 7
local TOKEN, LINE_COUNT, LINES = 9, 10, 11 -- places in a record
local LINE_PARTITION, LINE_SKU, LINE_ALLOCATIONS, LINE_FIELDS = 1, 2, 8, 9 -- places after the start of a line
local LEG, QUANTITY, FULFILLED, RELEASED, ALLOCATION_FIELDS = 1, 2, 3, 4, 5 -- after the start of an allocation

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

local function open_units(record, allocation)
  local gone = whole(record[allocation + FULFILLED]) + whole(record[allocation + RELEASED])
  return whole(record[allocation + QUANTITY]) - gone
end

-- The row of a hold: `units` of it count until `expires_at`; 0 and '0' when it is none any more.
local function row_of_hold(leg, sku, location, units, expires_at)
  return 'H\t' .. leg .. '\t' .. sku .. '\t' .. location .. '\t' .. text_of(units) .. '\t' .. expires_at .. '\t\n'
end

-- The units of an allocation stop being a hold, or `units` of it still are.
local function hold_row(record, line, allocation, units, expires_at)
  return row_of_hold(record[allocation + LEG], record[line + LINE_SKU], record[allocation], units, expires_at)
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

write_records = function()
  for i = 1, #changed_records do
    local record = changed_records[i]
    local state = record[STATE]
    if state == 'HELD' or state == 'CONFIRMED' then
      write_field(record.home, 'reservations', record.id, record.text)
    else
      hash_drops[#hash_drops + 1] = { tags[record.home] .. 'reservations', record.id }
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

local function begin_call(args)
  local message = begin(args)
  begin_stock()
  begin_records()
  answered_requests = {}
  return message
end
