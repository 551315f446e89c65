-- Returns: units that left come back, and what becomes of those that cannot be sold.
--
-- A return is done in steps: begun at its home (the partition of its id), made where its SKUs are, in one step per group of
-- partitions that one call sees, ended at its home. Whoever meets one under way goes on with it: each step is done once.
-- What came back of a line stands in its reservation's record and is checked and written in the step that raises the stock.

local returning = {} -- the functions of this fragment, of which `forget` is for keeping.lua

do -- Lua allows 200 local names at once: what only these use ends with them
local REFUSED = '!' -- what is remembered of an event that was refused
local STATE, TO_STATE = 5, 7 -- places in a line of an item

-- Of a line of a record: units that were fulfilled, and of them those that came back.
function returning.gone_and_back(record, line)
  local fulfilled = 0
  for a = 0, whole(record[line + LINE_ALLOCATIONS]) - 1 do
    fulfilled = fulfilled + whole(record[line + LINE_FIELDS + a * ALLOCATION_FIELDS + FULFILLED])
  end
  return fulfilled, whole(match(record[line + LINE_FUTURE], '<(%d+)$') or '0')
end

-- The lines of records by SKU, the first records first: sku -> a list of { record, where the line starts, units of it that
-- the item takes back so far }.
function returning.lines_by_sku(candidates)
  local by_sku = {}
  for c = 1, #candidates do
    local record, line = candidates[c], LINES
    for _ = 1, whole(record[LINE_COUNT]) do
      local sku = record[line + LINE_SKU]
      by_sku[sku] = by_sku[sku] or {}
      by_sku[sku][#by_sku[sku] + 1] = { record, line, 0 }
      line = line + LINE_FIELDS + whole(record[line + LINE_ALLOCATIONS]) * ALLOCATION_FIELDS
    end
  end
  return by_sku
end

-- Which units of the candidates' lines come back by a line, the first ones first.
--   returns  a list of { record, line, units }; or nil and the refusal
function returning.plan_line(asked, by_sku)
  local left, fulfilled, back, plan, lines = asked[4], 0, 0, {}, by_sku[asked[3]] or {}
  for n = 1, #lines do
    local its = lines[n]
    local went, came = returning.gone_and_back(its[1], its[2])
    came = came + its[3]
    fulfilled, back = fulfilled + went, back + came
    local units = math.min(left, math.max(0, went - came))
    if units > 0 then
      its[3] = its[3] + units
      plan[#plan + 1] = { its[1], its[2], units }
      left = left - units
    end
  end
  if left > 0 then
    return nil, { 'QUANTITY_EXCEEDS_FULFILLED', asked[1], asked[4], fulfilled, back }
  end
  return plan
end

-- Decides what comes to shelves, or leaves them, by all lines of an item together.
--   place    in a line: of the state that units come to or leave, '' for on hand
--   kind     RETURN: they come; STATE_CHANGE: they leave
--   returns  nil, or the refusal: with the first of the lines that share the shelf
function returning.refused_by_shelves(item, place, kind, occurred_at)
  local sums, order = {}, {}
  for n = 1, #item[8] do
    local asked = item[8][n]
    local id = asked[3] .. '\t' .. asked[place]
    if not sums[id] and asked[place] ~= moves.GONE then
      sums[id] = { asked, 0 }
      order[#order + 1] = sums[id]
    end
    if sums[id] then
      sums[id][2] = sums[id][2] + asked[4]
    end
  end
  local to = kind == 'STATE_CHANGE' and moves.GONE or ''
  for i = 1, #order do
    local asked, units = order[i][1], order[i][2]
    local refusal = moves.decide(moves.new(kind, asked[2], asked[3], item[5], units, occurred_at, asked[place], to))
    if refusal and refusal[1] ~= 'COVERED_BY_COUNT' then
      return { refusal[1], asked[1], refusal[2], refusal[3] }
    end
  end
end

-- Carries the lines of a decided item out.
function returning.carry_out(kind, item, occurred_at)
  for n = 1, #item[8] do
    local asked = item[8][n]
    local to = kind == 'STATE_CHANGE' and asked[7] or ''
    local m = moves.new(kind, asked[2], asked[3], item[5], asked[4], occurred_at, asked[5], to)
    moves.decide(m) -- where a count contains it already, only the row tells of it
    moves.carry_out(m, item[4] .. '\t' .. item[3], asked[6] .. '\t' .. item[6])
  end
end

-- Writes down what came back in the records that it left by.
--   returns  a text: per part line_id TAB reservation_id TAB its line_id TAB units LF, the lines in their order
function returning.note_returned(item, plans)
  local told, changed_ones, is_changed = {}, {}, {}
  for n = 1, #plans do
    for _, part in ipairs(plans[n]) do
      local record, line, units = part[1], part[2], part[3]
      local _, back = returning.gone_and_back(record, line)
      local future = match(record[line + LINE_FUTURE], '^(.*)<%d+$') or record[line + LINE_FUTURE]
      record[line + LINE_FUTURE] = future .. '<' .. text_of(back + units)
      told[#told + 1] = item[8][n][1] .. '\t' .. record.id .. '\t' .. record[line] .. '\t' .. text_of(units) .. '\n'
      if not is_changed[record] then
        is_changed[record] = true
        changed_ones[#changed_ones + 1] = record
      end
    end
  end
  for i = 1, #changed_ones do
    record_changed(changed_ones[i])
  end
  return concat(told)
end

-- The records that units of an item may come back to: those of its candidates that are here; nil where one is not as it
-- was when it was looked at.
function returning.candidates_of(item, texts)
  local found = {}
  for c = 1, #item[9], 3 do
    local id, home, token = item[9][c], item[9][c + 1], item[9][c + 2]
    local record = records[id]
    if record == nil then
      local text = texts[(c + 2) / 3]
      record = text and read_record(id, home, text)
    end
    if record and token ~= '' and record[TOKEN] ~= token then
      return nil -- a change of the reservation is under way here, which may be taken back
    elseif record then
      found[#found + 1] = record
    end
  end
  return found
end

function returning.stored_candidates(item)
  local homes, ids = {}, {}
  for c = 1, #item[9], 3 do
    ids[#ids + 1], homes[#homes + 1] = item[9][c], item[9][c + 1]
  end
  return look_up(homes, ids, { 'reservations', closed_now, closed_before })
end

-- Takes units of an item back. Returns its outcome, and where it is no refusal what to remember of its event.
local function take_back(item, only_looks)
  local plans, refusal = {}, nil
  if item[10] == 1 then
    local candidates = returning.candidates_of(item, returning.stored_candidates(item))
    if not candidates then
      return { 'STALE' }
    end
    local by_sku = returning.lines_by_sku(candidates)
    for n = 1, #item[8] do
      plans[n], refusal = returning.plan_line(item[8][n], by_sku)
      if refusal then
        return refusal
      end
    end
  end
  refusal = returning.refused_by_shelves(item, STATE, 'RETURN', item[7])
  if refusal or only_looks then
    return refusal or { 'APPLIED', '' }
  end
  local told = returning.note_returned(item, plans)
  returning.carry_out('RETURN', item, item[7])
  cover_raised()
  return { 'APPLIED', told }, told
end

-- Disposes of units of an item, likewise.
local function dispose(item, only_looks)
  local refusal = returning.refused_by_shelves(item, STATE, 'STATE_CHANGE', now_ms)
    or returning.refused_by_shelves(item, TO_STATE, 'RETURN', now_ms)
  if refusal or only_looks then
    return refusal or { 'APPLIED', '' }
  end
  returning.carry_out('STATE_CHANGE', item, now_ms)
  cover_raised()
  return { 'APPLIED', '' }, '-'
end

-- The step of returns where their SKUs are: all lines of an item or none, each event once.
--   keys   {pN}:log of the partitions of the lines, of the events and (they are records' homes) of the candidates
--   args   1 message: { ..., { partition of a SKU, ... }, items }; an item is { event, its partition, return_id, channel,
--          location, reference, occurred_at_ms, lines, candidates, 1 when units come back to candidates else 0, 1 to
--          dispose of units else 0, 1 when it only looks else 0 }; candidates are flat: reservation_id, partition of its
--          record, the token that this must have or ''; a line is { line_id, partition, sku, units, state or '' for on
--          hand, reason, where disposed units go: '' for on hand, a state, 'gone' }
--   reply  per item: APPLIED, what came back as note_returned tells it | REPEATED, the same as it was told |
--          QUANTITY_EXCEEDS_FULFILLED, line_id, units, fulfilled, returned before | INSUFFICIENT_STOCK, line_id, units,
--          units in the state | QUANTITY_OUT_OF_RANGE, line_id, units there, units | STALE: a candidate has another token |
--          UNDONE: this event was refused before. What is refused once stays so: whoever goes on with a step learns the same
local function return_lines(_, args)
  local message = begin_call(args)
  begin_expiry(0)
  local items, outcomes, event_partitions, events = message[5], {}, {}, {}
  for i = 1, #items do
    events[i], event_partitions[i] = items[i][1], items[i][2]
  end
  local events_now = 'events:' .. period
  local stored = look_up(event_partitions, events, { events_now, 'events:' .. period_before })
  for i = 1, #items do
    local item, told = items[i], nil
    local only_looks = item[12] == 1
    if stored[i] then
      outcomes[i] = stored[i] == REFUSED and { 'UNDONE' } or { 'REPEATED', stored[i] }
    else
      local step = item[11] == 1 and dispose or take_back
      outcomes[i], told = step(item, only_looks)
      if not only_looks and outcomes[i][1] ~= 'STALE' then
        write_field(event_partitions[i], events_now, events[i], told or REFUSED)
      end
    end
  end
  return finish(outcomes, message[4][1])
end

redis.register_function('invengine_return_lines', return_lines)
redis.register_function('invengine_return_lines_of_one', of_pieces(return_lines)) -- all of one partition
end

do
local REFERENCES = 5 -- place in the text of a return of reservation_id; order_ref follows

-- The sets that list a return with this text: their names without the tag.
local function sets_of(text)
  local fields, names, seen = {}, {}, {}
  for field in gmatch(text .. '\t', '([^\t]*)\t') do
    fields[#fields + 1] = field
  end
  local function add(kind, reference)
    if reference ~= '' and not seen[kind .. reference] then
      seen[kind .. reference] = true
      names[#names + 1] = kind .. reference
    end
  end
  add('returns_of:', fields[REFERENCES])
  add('returns_for:', fields[REFERENCES + 1])
  local at = REFERENCES + 5
  for _ = 1, whole(fields[REFERENCES + 4]) do
    local sources = whole(fields[at + 9])
    for s = 0, sources - 1 do
      add('returns_of:', fields[at + 10 + 3 * s])
    end
    at = at + 10 + 3 * sources
  end
  return names
end

-- Takes what a partition has of returns that were closed in a period out of it, so many at a time.
--   returns  how many, and whether these were all
function returning.forget(tag, key, most)
  local found = call('HSCAN', key, '0', 'COUNT', most)[2]
  for i = 1, #found, 2 do
    for _, name in ipairs(sets_of(found[i + 1])) do
      call('SREM', tag .. name, found[i])
    end
    call('HDEL', key, found[i])
  end
  return #found / 2, call('EXISTS', key) == 0
end

local function begin_home(args)
  local message = begin_call(args)
  begin_expiry(0)
  local home, item = message[5], message[6]
  local stored = look_up({ home }, { item[2] }, { requests_now, requests_before })[1]
  local closed = 'closed_returns:'
  local text = look_up({ home }, { item[1] }, { 'returns', closed .. period, closed .. period_before })[1]
  local entry = call('HGET', tags[home] .. 'return_steps', item[1])
  local nonce, began_at, content = match(entry or '', '^([^\t]*)\t(%d+)\t(.*)$')
  return home, item, stored, text, nonce, nonce and whole(began_at), content
end

-- Begins a step of a return, one at a time each; or only looks what stands in the way.
--   keys   {pN}:log of the home
--   args   1 message: { ..., { home }, home, { return_id, request, fingerprint, 1 when the return is a new one else 0, a
--          text that no other call has, the content: what somebody else needs to go on, or '' to look } }
--   reply  { BEGUN, nonce, time that it began, content, text of the return or '' } | { BUSY, the same of the step under
--          way: it has to be ended first } | { REPEATED, return_id TAB text } | REQUEST_MISMATCH | RETURN_EXISTS |
--          RETURN_NOT_FOUND | { UNDONE }: nothing stands in the way (only looked)
redis.register_function('invengine_begin_return', of_pieces(function(_, args)
  local home, item, stored, text, nonce, began_at, content = begin_home(args)
  local earlier = earlier_answer(item[2], item[3], stored)
  local outcome
  if earlier then
    outcome = earlier
  elseif nonce then
    outcome = { nonce == item[5] and 'BEGUN' or 'BUSY', nonce, began_at, content, text or '' }
  elseif item[4] == 1 and text then
    outcome = { 'RETURN_EXISTS' }
  elseif item[4] == 0 and not text then
    outcome = { 'RETURN_NOT_FOUND' }
  elseif item[6] == '' then
    outcome = { 'UNDONE' }
  else
    write_field(home, 'return_steps', item[1], item[5] .. '\t' .. now_text .. '\t' .. item[6])
    outcome = { 'BEGUN', item[5], now_ms, item[6], text or '' }
  end
  return finish({ outcome }, home)
end))

-- Ends the step under way: what it made of the return is known from here on.
--   keys   {pN}:log of the home
--   args   1 message: { ..., { home }, home, { return_id, request, fingerprint, nonce, text of the return but for its
--          revision: state, and the fields after the revision, both '' when nothing was done } }
--   reply  { APPLIED, text } | { REPEATED, return_id TAB text }: others ended it | UNDONE | STALE: it is not under way
redis.register_function({
  function_name = 'invengine_end_return',
  callback = of_pieces(function(_, args)
    local home, item, stored, text, nonce = begin_home(args)
    if nonce ~= item[4] then
      return finish({ earlier_answer(item[2], item[3], stored) or { 'STALE' } }, home)
    end
    hash_drops[#hash_drops + 1] = { tags[home] .. 'return_steps', item[1] }
    if item[5] == '' then
      return finish({ { 'UNDONE' } }, home)
    end
    local rows = rows_in(home)
    local now = item[5] .. '\t' .. revision_texts[home] .. '\t' .. item[6]
    rows[#rows + 1] = 'T\t' .. item[1] .. '\t' .. now .. '\t\n'
    if item[5] == 'OPEN' then
      write_field(home, 'returns', item[1], now)
    else
      write_field(home, 'closed_returns:' .. period, item[1], now)
      hash_drops[#hash_drops + 1] = { tags[home] .. 'returns', item[1] }
    end
    if not text then
      for _, name in ipairs(sets_of(now)) do
        set_changes[#set_changes + 1] = { 'SADD', tags[home] .. name, item[1] }
      end
    end
    remember_request(home, item[2], item[3], item[1], now)
    return finish({ { 'APPLIED', now } }, home)
  end),
  flags = { 'allow-oom' },
})
end
