-- The schedule of incoming receipts: set, slipped, cancelled, received.

do -- Lua allows 200 local names at once: what only this uses ends with it
local PEGS_MAX = 200 -- pegs that one call moves or judges

-- Of the running call and of its item.
local pegs_left -- how many more
local broke -- promises that the item broke: { record, line id, leg, partition }
local lost_pegs -- whether pegs of it lost their cover, now or in a step before
local cause -- of rows: kind, source and request_id, each with a TAB before it

-- Pegs of a receipt from one end of its queue, until `wants` says that there are enough.
--   step     1 from the oldest, -1 from the newest
--   after    only pegs with later legs
--   wants    (open units) -> units of this peg that are meant, nil to stop
--   returns  a list of { home, id, leg, units }, and whether it was the limit of the call that ended it
local function some_pegs(receipt, step, after, wants)
  local queue, found = incoming.queue_of(receipt), {}
  local is_cut = incoming.each_queued(queue, step, function(home, id, leg, entry)
    if number(leg) <= after then
      return nil
    end
    local record, _, _, allocation = waiting_allocation(receipt, home, id, leg)
    if not record then
      incoming.drop_queued(queue, entry, step)
      return nil
    end
    local units = wants(open_of(allocation))
    if not units then
      return false
    elseif pegs_left == 0 then
      return true
    end
    pegs_left = pegs_left - 1
    found[#found + 1] = { home, id, leg, units }
  end)
  return found, is_cut
end

-- Every peg is meant, for some_pegs.
local function open_of_any(open)
  return open
end

-- Has units of a receipt that arrived taken in: its pegs get theirs, as many as this call can serve.
--   units    that arrived and are not taken in yet
--   returns  how many were taken in; fewer than `units` when the item must be sent again
local function take_in(p, receipt, id, units, is_counted, event, occurred_at)
  local left, pegs, is_cut = units, {}, false
  if receipt then
    pegs, is_cut = some_pegs(receipt, 1, 0, function(open)
      local its = math.min(open, left)
      left = left - (pegs_left > 0 and its or 0)
      return its > 0 and its or nil
    end)
  end
  local taken = is_cut and units - left or units
  if taken > 0 and not is_counted then
    local rows = rows_in(partition_of[p])
    set_on_hand(p, on_hand[p] + taken)
    remember_in_trail(p, taken, occurred_at)
    touch(p)
    rows[#rows + 1] = position_row(p, taken, 0, 'RECEIVE', event, '\t' .. id, text_of(occurred_at))
  end
  if receipt then
    receipt.quantity = math.max(0, receipt.quantity - taken)
  end
  for i = 1, #pegs do
    local record, lines, line, allocation = waiting_allocation(receipt, pegs[i][1], pegs[i][2], pegs[i][3])
    arrive(receipt, record, lines, line, allocation, p, pegs[i][4])
  end
  return taken
end

-- Writes units of a transfer off that will not arrive: received and lost in one step, so that the ledger has both.
local function write_off(p, units, id, event, reason, occurred_at)
  local rows, at = rows_in(partition_of[p]), text_of(occurred_at)
  touch(p)
  set_on_hand(p, on_hand[p] + units)
  rows[#rows + 1] = position_row(p, units, 0, 'RECEIVE', event, '\t' .. id, at)
  set_on_hand(p, on_hand[p] - units)
  rows[#rows + 1] = position_row(p, -units, 0, 'ADJUSTMENT', event, reason .. '\t' .. id, at)
end

-- Makes units of a peg that lost their cover a backorder, and a broken promise.
local function uncover(receipt, peg_of, reason)
  local record, lines, line, allocation = waiting_allocation(receipt, peg_of[1], peg_of[2], peg_of[3])
  local units, _, due_day = peg_of[4], receipt_in(allocation.source)
  rows_in(line.partition)
  if units == open_of(allocation) then
    incoming.unpeg(receipt, record, allocation.leg, units, 0, cause, -1)
    allocation.source = '?'
  else
    allocation.quantity = allocation.quantity - units
    incoming.unpeg(receipt, record, allocation.leg, units, open_of(allocation), cause, -1)
    allocation = add_allocation(line, allocation.location, '?')
    allocation.quantity = units
  end
  incoming.peg(incoming.receipt_for(line.sku, line.partition, receipt.location, ''), record, allocation.leg, units, cause)
  incoming.break_promise(record, line, receipt.location, allocation.leg, receipt.id, reason, due_day)
  broke[#broke + 1] = { record, allocation.leg, line.partition }
  write_lines(record, lines)
  record_changed(record)
end

-- Lowers a receipt to `quantity`; the newest pegs beyond it lose their cover. Returns whether that is all.
local function shorten(receipt, quantity)
  local beyond, reason = receipt.pegged - quantity, quantity > 0 and 'SHORTENED' or 'CANCELLED'
  local pegs, is_cut = {}, false
  if beyond > 0 then
    pegs, is_cut = some_pegs(receipt, -1, 0, function(open)
      local its = math.min(open, beyond)
      beyond = beyond - (pegs_left > 0 and its or 0)
      return its > 0 and its or nil
    end)
  end
  receipt.quantity = math.max(quantity, is_cut and receipt.quantity or 0)
  for i = #pegs, 1, -1 do -- the oldest queues first
    lost_pegs = true
    uncover(receipt, pegs[i], reason)
  end
  if is_cut then
    receipt.quantity = math.max(quantity, receipt.pegged)
  end
  return not is_cut
end

-- Breaks the promises by a day before the receipt's, and mends those that it keeps again.
--   after    leg of the last peg that was judged
--   returns  the same when the item must be sent again, else nil
local function judge_days(receipt, after)
  local last = after
  local pegs, is_cut = some_pegs(receipt, 1, after, open_of_any)
  for i = 1, #pegs do
    local record, _, line, allocation = waiting_allocation(receipt, pegs[i][1], pegs[i][2], pegs[i][3])
    local _, due_day = receipt_in(allocation.source)
    last = number(allocation.leg)
    if due_day >= receipt.day then
      incoming.mend_promise(line.partition, allocation.leg)
    elseif not incoming.broken_at(line.partition, allocation.leg) then
      incoming.break_promise(record, line, receipt.location, allocation.leg, receipt.id, 'SLIPPED', due_day)
      broke[#broke + 1] = { record, allocation.leg, line.partition }
    end
  end
  return is_cut and last or nil
end

-- What the item broke and nothing mended: appended to its outcome as text (see README), open units, expected day.
local function add_broken(outcome, receipt)
  for i = 1, #broke do
    local record, leg, partition = broke[i][1], broke[i][2], broke[i][3]
    local text, open = incoming.broken_at(partition, leg), 0
    each_allocation(record, function(line, allocation)
      if record[allocation + LEG] == leg and whole(record[line + LINE_PARTITION]) == partition then
        open = open_units(record, allocation)
      end
    end)
    if text and open > 0 then
      local n, slipped = #outcome, find(text, '\tSLIPPED\t', 1, true) -- ids hold no TAB
      outcome[n + 1], outcome[n + 2], outcome[n + 3] = text, open, slipped and receipt.day or 0
    end
  end
  return outcome
end

local INCOMING_SIZE = 12 -- partition, sku, location, receipt_id, kind, quantity, expected_day, 1 for closes else 0,
-- occurred_at_ms, expected revision or -1, whose receipt it is to be (0: what closes it is for none of a transfer, 1: of
-- a transfer, 2: the same, and the quantity is all that is on the way), reason

-- The answer to an item: the receipt and the position as they are.
local function outcome_of(word, sku, location, partition, receipt_id)
  local p, receipt = find_position(sku, location, partition), incoming.find(sku, partition, location, receipt_id)
  local outcome = { word, p and on_hand[p] or 0, p and reserved[p] or 0, 0, 0, 0, 0, '' }
  if receipt then
    outcome[4], outcome[5], outcome[6] = receipt.day, receipt.quantity, receipt.pegged
    outcome[7], outcome[8] = whole(receipt.revision), receipt.from
  end
  return outcome, receipt
end

-- Why a change is refused, or nil.
local function refused(items, at, receipt, p, quantity, is_counted)
  local kind, closes, expected, whose = items[at + 4], items[at + 7] == 1, items[at + 9], items[at + 10]
  local is_of_transfer = receipt and receipt.from ~= ''
  if kind ~= 'SET' and (not receipt or (whose > 0 and not is_of_transfer)) then
    return { 'RECEIPT_NOT_FOUND' }
  elseif is_of_transfer and whose == 0 and (kind == 'SET' or kind == 'CANCEL' or closes) then
    return { 'OF_TRANSFER' } -- its units are somewhere: they arrive or are written off
  end
  local revision = receipt and whole(receipt.revision) or 0
  if expected >= 0 and expected ~= revision then
    return { 'REVISION_MISMATCH', revision }
  elseif kind ~= 'RECEIVE' or not p then
    return nil
  end
  local arriving = math.max(is_counted and 0 or quantity, is_of_transfer and closes and receipt.quantity or 0)
  if on_hand[p] + arriving > UNITS_MAX then
    return { 'QUANTITY_OUT_OF_RANGE', on_hand[p], arriving }
  end
end

-- Expires what is due in the partition of a receipt with pegs. Returns the partition to sweep first, or nil.
local function expire_pegs(receipt)
  local answer = receipt and receipt.pegged > 0 or nil
  while answer == true do
    answer = expire_for({ receipt.partition })
  end
  return answer
end

-- Carries a change out as far as this call can.
--   quantity    units that it says, or all that there are
--   units, leg  what earlier steps of it did: units taken in, the last peg whose day was judged
--   returns     units and leg as they are when it must be sent again, else nil
local function step_on(items, at, p, receipt, event, quantity, units, leg)
  local kind, day, occurred_at = items[at + 4], items[at + 6], items[at + 8]
  if kind == 'RECEIVE' then
    local writes_off = receipt and items[at + 7] == 1 and receipt.from ~= '' and receipt.quantity > quantity - units
    if not p and (quantity > units or writes_off) then
      p = new_position(items[at + 1], items[at + 2], items[at])
      places_in(items[at + 1])[items[at + 2]] = p
      stock_key(items[at + 1], items[at])
    end
    local counted_at = p and whole(counted_text[p]) or 0
    if quantity > units then
      local is_counted = counted_at > 0 and occurred_at <= counted_at
      units = units + take_in(p, receipt, items[at + 3], quantity - units, is_counted, event, occurred_at)
    end
    if units < quantity then
      return units, leg
    elseif receipt and items[at + 7] == 1 then
      local before, is_all = receipt.quantity, shorten(receipt, 0)
      if receipt.from ~= '' and receipt.quantity < before then
        write_off(p, before - receipt.quantity, receipt.id, event, items[at + 11], occurred_at)
      end
      if not is_all then
        return units, leg
      end
    end
  elseif kind == 'CANCEL' then
    if not shorten(receipt, 0) then
      return units, leg
    end
  else
    receipt.day = day
    if kind == 'SET' and not shorten(receipt, quantity) then
      return units, leg
    end
    leg = judge_days(receipt, leg)
    if leg then
      return units, leg
    end
  end
end

-- Decides a change of a receipt and applies it to the tables.
--   stored   what is known of its event: false, or `revision,units,leg` of a change that was sent before and is not
--            through
--   returns  its outcome, what to remember of the event or nil, the partition to sweep first or nil
local function change_receipt(items, at, event, stored)
  local partition, sku, location, id = items[at], items[at + 1], items[at + 2], items[at + 3]
  local kind, quantity, occurred_at = items[at + 4], given(items[at + 5], 0), given(items[at + 8], 0)
  given(items[at + 6], 0)
  local p, receipt = find_position(sku, location, partition), incoming.find(sku, partition, location, id)
  local counted_at = p and whole(counted_text[p]) or 0
  local is_counted = counted_at > 0 and occurred_at <= counted_at
  local units, leg = match(stored or ',0,0', ',(%d+),(%d+)$')
  if items[at + 10] == 2 then
    quantity = whole(units) + (receipt and receipt.quantity or 0)
  end
  local refusal = not stored and refused(items, at, receipt, p, quantity, is_counted)
  if refusal then
    return refusal
  end
  local sweep = expire_pegs(receipt)
  if sweep then
    return nil, nil, sweep
  end
  broke, lost_pegs, cause = {}, stored, '\t' .. kind .. '\t' .. event
  if kind == 'SET' then
    receipt = incoming.receipt_for(sku, partition, location, id)
  end
  rows_in(partition)
  if receipt or kind == 'RECEIVE' then -- one that went between two steps has nothing left to change
    units, leg = step_on(items, at, p, receipt, event, quantity, whole(units), whole(leg))
  else
    units = nil
  end
  if receipt then
    incoming.changed(receipt, cause)
  end
  if units then
    work = WORK_MAX + 1 -- no further item
    return add_broken({ 'SEND_AGAIN' }, receipt),
      revision_texts[partition] .. ',' .. text_of(units) .. ',' .. text_of(leg)
  end
  p = find_position(sku, location, partition)
  if p and (kind == 'RECEIVE' or lost_pegs) then
    note_pool(p)
    pool_before[p] = -UNITS_MAX -- whatever it was
  end
  cover_raised()
  local outcome = outcome_of('APPLIED', sku, location, partition, id)
  return add_broken(outcome, receipt), revision_texts[partition]
end

-- Changes the schedule, each change on its own, in their order. One that touches many pegs is done in steps.
--   keys   {pN}:log of every partition of a SKU or an event
--   args   1 message: { ..., { partition of a SKU, ... }, items, { item's event partition, ... }, { event, ... } }; an event
--          is source TAB request_id; items are flat, INCOMING_SIZE fields each
--   reply  per change, as far as this call went: { APPLIED or REPEATED, on_hand, reserved of the position, expected_day,
--          quantity, pegged, revision of the receipt (all 0 where nothing of it is open), the location that its units
--          left or '', then for each promise that it broke: text as in {pN}:broken, open units, expected day } |
--          RECEIPT_NOT_FOUND | OF_TRANSFER | REVISION_MISMATCH, revision | QUANTITY_OUT_OF_RANGE, on_hand, quantity | SWEEP_FIRST, partition: sweep it, then send this one and those
--          after it again | SEND_AGAIN, then broken promises likewise: the step is done, send this one and those after
--          it again
local function change_incoming(_, args)
  local message = begin_call(args)
  begin_expiry(EXPIRE_MAX)
  pegs_left = PEGS_MAX
  local items, event_partitions, events = message[5], message[6], message[7]
  local events_now = 'events:' .. period
  local stored = look_up(event_partitions, events, { events_now, 'events:' .. period_before })
  local outcomes, seen = {}, {}
  for i = 1, #events do
    if work > WORK_MAX then
      break
    end
    local event, at = events[i], (i - 1) * INCOMING_SIZE + 1
    local known = seen[event] or stored[i]
    if known and not find(known, ',', 1, true) then
      outcomes[i] = outcome_of('REPEATED', items[at + 1], items[at + 2], items[at], items[at + 3])
    else
      local outcome, done, sweep = change_receipt(items, at, event, known)
      if sweep then
        outcomes[i] = { 'SWEEP_FIRST', sweep }
        break
      end
      if done then
        seen[event] = done
        write_field(event_partitions[i], events_now, event, done)
      end
      outcomes[i] = outcome
    end
  end
  return finish(outcomes, message[4][1])
end

redis.register_function('invengine_change_incoming', change_incoming)
redis.register_function('invengine_change_incoming_of_one', of_pieces(change_incoming)) -- all of one partition
end
