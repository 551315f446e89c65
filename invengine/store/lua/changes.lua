-- What becomes of reservations: confirm, extend, release, fulfil. One loop for all, also for the verbs of amend.lua;
-- each verb is a function that changes the record and the positions, or returns a refusal before it changed anything.

local CHANGE_SIZE = 6 -- fields of an item before its lines

-- One item: the fields of the message from `at` on.
--   1 fingerprint   2 channel   3 expected revision, -1 for any
--   4 time to live (extend); minus the instant in ms at which the units left, when it was not now (fulfil); 1 when the
--   lines name the slots too that go with the units (release, fulfil): else units with slots are REVISION_MISMATCH
--   5 order_ref (confirm); with such an instant the reason (fulfil)
--   6 line count, then per line: line_id, location or '', units or 0 for all that are open; one table per line where
--   amend.lua says so

-- Records another reference, empty to keep the one there is; the set that lists by it follows.
local function set_reference(record, place, kind, reference)
  local before = record[place]
  if piece and reference ~= '' then -- the sets are at the head
    record[place] = reference
  elseif reference ~= '' and reference ~= before then
    local set = tags[record.home] .. kind
    if before ~= '' then
      set_changes[#set_changes + 1] = { 'SREM', set .. before, record.id }
    end
    set_changes[#set_changes + 1] = { 'SADD', set .. reference, record.id }
    record[place] = reference
  end
end

local function extend_record(record, items, at)
  if record[STATE] ~= 'HELD' then
    return { 'RESERVATION_CONFIRMED' }
  end
  -- all pieces of a reservation expire at the same second, which its head chose
  local expires_at = text_of(piece and piece.expires_at or math.ceil(now_ms / 1000) + given(items[at + 3], 1))
  record[EXPIRES_AT] = expires_at
  local entry = text_of(record.home) .. '\t' .. record.id
  each_allocation(record, function(line, allocation)
    local units = open_units(record, allocation)
    if units > 0 then
      local partition = whole(record[line + LINE_PARTITION])
      if is_on_hand(record[allocation + SOURCE]) then
        local rows = rows_in(partition)
        rows[#rows + 1] = hold_row(record, line, allocation, units, expires_at)
      end
      look_at(partition, expires_at, entry)
    end
  end)
end

-- 1 for a backorder, 2 for units pegged to a receipt, 3 for units on hand: the order of giving back.
local function kind_of(source)
  return source == '?' and 1 or is_on_hand(source) and 3 or 2
end

-- A record with nothing open any more is closed: FULFILLED when something of it left, else RELEASED. A piece only where
-- it is the whole reservation.
local function close_if_done(record)
  if piece and not piece.may_close then
    return
  end
  local fulfilled = false
  local is_open = each_allocation(record, function(_, allocation)
    fulfilled = fulfilled or record[allocation + FULFILLED] ~= '0'
    if open_units(record, allocation) > 0 then
      return true
    end
  end)
  if not is_open then
    record[STATE], record[EXPIRES_AT] = fulfilled and 'FULFILLED' or 'RELEASED', '0'
  end
end

-- The refusal that the state of the record alone demands, or nil.
local function refused_by_state(record, expected_revision)
  if not record then
    return { 'RESERVATION_NOT_FOUND' }
  end
  local state = record[STATE]
  if state == 'EXPIRED' or (state == 'HELD' and whole(record[EXPIRES_AT]) <= now_s) then
    return { 'RESERVATION_EXPIRED', whole(record[EXPIRES_AT]) }
  elseif state == 'RELEASED' or state == 'FULFILLED' then
    return { 'RESERVATION_CLOSED', state }
  elseif expected_revision >= 0 and whole(record[REVISION]) ~= expected_revision then
    return { 'REVISION_MISMATCH', whole(record[REVISION]) }
  end
end

-- The loop of the verbs.
--   change_record  (record, items, at, lists) -> refusal or nil, then whether nothing changed, then the partition to
--                  sweep before the item can be decided
--   line_size      places of a line in the items
--   expire_max     reservations that the call may expire when it finds stock short
--   keys   {pN}:log of every partition of a reservation or a request; those of SKUs are derived from the records
--   args   1 message: { ..., { home, ... }, items, { item's request partition, ... }, { request, ... }, { home, ... },
--          { reservation_id, ... }, and where the verb takes units the lists of reserve.lua }; items as above
--   reply  per item, as far as this call went: the record as text | REPEATED, reservation_id TAB record |
--          REQUEST_MISMATCH | RESERVATION_NOT_FOUND | RESERVATION_EXPIRED, second | RESERVATION_CLOSED, state |
--          REVISION_MISMATCH, revision | SWEEP_FIRST, partition, as reserve answers it | and what the verb says.
--          INTERNAL: the positions have less reserved than the record says, which nothing here can bring about
local function change(args, change_record, line_size, expire_max)
  local message = begin_call(args)
  begin_expiry(expire_max)
  local items, request_partitions, requests, homes, ids = message[5], message[6], message[7], message[8], message[9]
  local lists = message[10]
  local stored = look_up(request_partitions, requests, { requests_now, requests_before })
  local texts = look_up(homes, ids, { 'reservations', closed_now, closed_before })
  local outcomes, at = {}, 1
  for i = 1, #requests do
    if work > WORK_MAX then
      break
    end
    local id, fingerprint = ids[i], items[at]
    local outcome = earlier_answer(requests[i], fingerprint, stored[i])
    if not outcome then
      local record = records[id]
      if record == nil then
        record = texts[i] and read_record(id, homes[i], texts[i])
      end
      outcome = refused_by_state(record, items[at + 2])
      if not outcome then
        local is_same, sweep
        outcome, is_same, sweep = change_record(record, items, at, lists)
        if sweep then
          outcomes[i] = { 'SWEEP_FIRST', sweep }
          break
        elseif not outcome then
          cover_raised()
          outcome = is_same and concat(record, '\t') or record_changed(record)
          remember_request(request_partitions[i], requests[i], fingerprint, id, outcome)
        end
      end
    end
    outcomes[i] = outcome
    at = at + CHANGE_SIZE + items[at + 5] * line_size
  end
  return finish(outcomes, homes[1])
end

do -- Lua allows 200 local names at once: what only these verbs use ends with them
local UNITS_SIZE = 3 -- fields of a line of release and fulfil

local function confirm_record(record, items, at)
  if record[STATE] ~= 'HELD' then
    return { 'RESERVATION_CONFIRMED' }
  end
  each_allocation(record, function(line, allocation)
    if open_units(record, allocation) > 0 and is_on_hand(record[allocation + SOURCE]) then
      local rows = rows_in(whole(record[line + LINE_PARTITION]))
      rows[#rows + 1] = hold_row(record, line, allocation, 0, '0')
    end
  end)
  record[STATE], record[EXPIRES_AT] = 'CONFIRMED', '0'
  set_reference(record, ORDER_REF, 'order:', items[at + 4])
end

-- The allocations of a line, at a location or ('') at any.
--   returns  whether the record has the line; a list of { line, allocation, kind as above }
local function allocations_named(record, line_id, location)
  local line_found, found, line = false, {}, LINES
  for _ = 1, whole(record[LINE_COUNT]) do
    local allocations = whole(record[line + LINE_ALLOCATIONS])
    if record[line] == line_id then
      line_found = true
      for a = 0, allocations - 1 do
        local allocation = line + LINE_FIELDS + a * ALLOCATION_FIELDS
        if location == '' or record[allocation] == location then
          found[#found + 1] = { line, allocation, kind_of(record[allocation + SOURCE]) }
        end
      end
    end
    line = line + LINE_FIELDS + allocations * ALLOCATION_FIELDS
  end
  return line_found, found
end

-- Which units of which allocations an item names.
--   only     3 for units on hand only (what is named beyond them is short), 1 for all, backorders first
--   returns  a list of { line, allocation, units }, each allocation once; or nil and the refusal
local function named_units(record, items, at, only)
  local plan, step_of, left = {}, {}, {} -- left: allocation -> open units that this item has not named yet
  each_allocation(record, function(line, allocation)
    local units = open_units(record, allocation)
    left[allocation] = units
    if items[at + 5] == 0 and units > 0 then
      plan[#plan + 1] = { line, allocation, units }
    end
  end)
  local short = { 'INSUFFICIENT_STOCK' }
  for n = 1, items[at + 5] do
    local from = at + CHANGE_SIZE + (n - 1) * 3
    local line_id, location, wanted = items[from], items[from + 1], given(items[from + 2], 0)
    local line_found, found = allocations_named(record, line_id, location)
    if not line_found or (location ~= '' and #found == 0) then
      return nil, { 'LINE_NOT_FOUND', n }
    elseif found[1] and items[at + 3] == 0 and slots.has(record[found[1][1] + LINE_FUTURE]) then
      return nil, { 'REVISION_MISMATCH', whole(record[REVISION]) } -- whoever names units has to name their slots
    end
    local open, usable = 0, 0
    for f = 1, #found do
      local units = left[found[f][2]]
      open, usable = open + units, usable + (found[f][3] >= only and units or 0)
    end
    if wanted > open then
      return nil, { 'QUANTITY_EXCEEDS_OPEN', n, open }
    elseif wanted > usable then
      local s = #short
      short[s + 1], short[s + 2], short[s + 3] = line_id, record[found[1][1] + LINE_SKU], location
      short[s + 4], short[s + 5] = wanted, usable
    end
    wanted = wanted > usable and 0 or wanted == 0 and usable or wanted
    for kind = only, 3 do
      for f = 1, #found do
        local allocation = found[f][2]
        local units = found[f][3] == kind and math.min(wanted, left[allocation]) or 0
        if units > 0 then
          local step = step_of[allocation]
          if step then
            step[3] = step[3] + units
          else
            step = { found[f][1], allocation, units }
            step_of[allocation] = step
            plan[#plan + 1] = step
          end
          left[allocation] = left[allocation] - units
          wanted = wanted - units
        end
      end
    end
  end
  if #short > 1 then
    return nil, short
  end
  return plan
end

-- The lines of a record that have open units which are not on hand, as a refusal; nil when none has.
local function not_on_hand(record)
  local short, lines, last = { 'INSUFFICIENT_STOCK' }, {}, nil
  each_allocation(record, function(line, allocation)
    if not last or last.at ~= line then
      last = { at = line, open = 0, there = 0 }
      lines[#lines + 1] = last
    end
    local units = open_units(record, allocation)
    last.open = last.open + units
    last.there = last.there + (is_on_hand(record[allocation + SOURCE]) and units or 0)
  end)
  for n = 1, #lines do
    local its = lines[n]
    if its.there < its.open then
      local s = #short
      short[s + 1], short[s + 2], short[s + 3] = record[its.at], record[its.at + LINE_SKU], ''
      short[s + 4], short[s + 5] = its.open, its.there
    end
  end
  return #short > 1 and short or nil
end

-- Whether units that left at an instant (0 or nil: now) were gone already when the position was last counted.
local function is_counted_without(p, left_at)
  local counted_at = (left_at or 0) > 0 and whole(counted_text[p]) or 0
  return counted_at > 0 and left_at <= counted_at
end

-- What of a plan is reserved and not on hand any more, as a refusal; nil when nothing is. With `shortens` its steps are
-- made to want no more than there is.
--   left_at  when it left, 0 or nil for now: what was gone already when its position was counted need not be there
local function not_there(record, plan, shortens, left_at)
  local short, leaving = { 'INSUFFICIENT_STOCK' }, {}
  for i = 1, #plan do
    local line, allocation, units = plan[i][1], plan[i][2], plan[i][3]
    local p = find_position(record[line + LINE_SKU], record[allocation], whole(record[line + LINE_PARTITION]))
    local there = on_hand[p] - (leaving[p] or 0)
    if is_counted_without(p, left_at) or slots.is_one(record[line + LINE_SKU]) then
      units = 0
    elseif units > there then
      local n = #short
      short[n + 1], short[n + 2], short[n + 3] = record[line], record[line + LINE_SKU], record[allocation]
      short[n + 4], short[n + 5] = units, there
      units = shortens and there or 0
      plan[i][3] = shortens and there or plan[i][3]
    end
    leaving[p] = (leaving[p] or 0) + units
  end
  return #short > 1 and short or nil
end

-- Units of an allocation on hand leave, at an instant or (0 or nil) now: reserved and on_hand fall. What was gone already when
-- the position was counted is not in on_hand any more. `kind` and `reason` are what the row says.
local function send_off(record, line, allocation, units, channel_and_id, kind, reason, left_at)
  local partition, source = whole(record[line + LINE_PARTITION]), record[allocation + SOURCE]
  local p, rows = find_position(record[line + LINE_SKU], record[allocation], partition), rows_in(partition)
  local happened_at, leaving = (left_at or 0) > 0 and left_at or now_ms, is_counted_without(p, left_at) and 0 or units
  if slots.is_one(record[line + LINE_SKU]) then
    slots.use(p, units)
    leaving = -units
  else
    if leaving == 0 then
      note_pool(p)
    end
    set_reserved(p, reserved[p] - units)
    if leaving > 0 then
      set_on_hand(p, on_hand[p] - leaving)
      remember_in_trail(p, -leaving, happened_at, nil, record[ORDER_REF])
    end
  end
  touch(p)
  record[allocation + FULFILLED] = text_of(whole(record[allocation + FULFILLED]) + units)
  if source ~= '' then -- those out of a ring-fence first
    local out_of_fence, channel = fence_in(source)
    record[allocation + SOURCE] = source_of_fence(out_of_fence - math.min(out_of_fence, units), channel)
  end
  rows[#rows + 1] =
    position_row(p, -leaving, -units, kind, channel_and_id, reason .. '\t' .. record[ORDER_REF], text_of(happened_at))
end

local function release_record(record, items, at)
  if transfers.is_one(record) then
    return { 'OF_TRANSFER' }
  end
  local plan, refusal = named_units(record, items, at, 1)
  if not plan then
    return refusal
  end
  if not units_are_reserved(record) then
    return { 'INTERNAL' }
  end
  for i = 1, #plan do
    give_back(record, plan[i][1], plan[i][2], plan[i][3], 'RELEASE', items[at + 1] .. '\t' .. record.id)
  end
  close_if_done(record)
  return nil, #plan == 0
end

local function fulfil_record(record, items, at)
  if record[STATE] ~= 'CONFIRMED' then
    return { 'RESERVATION_NOT_CONFIRMED' }
  elseif transfers.is_one(record) then
    return { 'OF_TRANSFER' }
  end
  local plan, refusal = named_units(record, items, at, 3)
  refusal = refusal or items[at + 5] == 0 and not_on_hand(record)
  if refusal then
    return refusal
  end
  if not units_are_reserved(record) then
    return { 'INTERNAL' }
  end
  local left_at = math.max(0, -items[at + 3])
  local short = not_there(record, plan, false, left_at)
  if short then
    return short
  end
  for i = 1, #plan do
    local cause, reason = items[at + 1] .. '\t' .. record.id, left_at > 0 and items[at + 4] or ''
    send_off(record, plan[i][1], plan[i][2], plan[i][3], cause, 'FULFIL', reason, left_at)
  end
  close_if_done(record)
  return nil, #plan == 0
end

transfers.named_units, transfers.not_there, transfers.send_off = named_units, not_there, send_off
transfers.UNITS_SIZE = UNITS_SIZE

verbs.confirm, verbs.extend, verbs.release, verbs.fulfil = confirm_record, extend_record, release_record, fulfil_record

-- HELD becomes CONFIRMED and does not expire any more. Refuses with RESERVATION_CONFIRMED.
redis.register_function({
  function_name = 'invengine_confirm',
  callback = function(_, args)
    return change(args, confirm_record, UNITS_SIZE, 0)
  end,
  flags = { 'allow-oom' },
})

-- A hold gets a new time to live from now on. Refuses with RESERVATION_CONFIRMED.
redis.register_function('invengine_extend', function(_, args)
  return change(args, extend_record, UNITS_SIZE, 0)
end)

-- Units are given back. Refuses with LINE_NOT_FOUND, line | QUANTITY_EXCEEDS_OPEN, line, open.
redis.register_function({
  function_name = 'invengine_release',
  callback = function(_, args)
    return change(args, release_record, UNITS_SIZE, 0)
  end,
  flags = { 'allow-oom' },
})

-- Units leave: reserved and on_hand fall; on_hand stays where it was counted after they left. Refuses with RESERVATION_NOT_CONFIRMED | LINE_NOT_FOUND, line |
-- QUANTITY_EXCEEDS_OPEN, line, open | INSUFFICIENT_STOCK, line_id, sku, location, wanted, there, ...: wanted and open on
-- hand where the line has units that are not, else what leaves a position and what it has on hand
redis.register_function({
  function_name = 'invengine_fulfil',
  callback = function(_, args)
    return change(args, fulfil_record, UNITS_SIZE, 0)
  end,
  flags = { 'allow-oom' },
})
end
