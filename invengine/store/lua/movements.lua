-- Stock coming in, going out, being counted.

local counting = {} -- what snapshots.lua uses of this

do -- Lua allows 200 local names at once: what only this uses ends with it
local TRAIL_CHUNK = 500 -- entries of a trail read at once

-- Calls visit(units, order_ref, occurred_at, edit) for each change of on_hand at a position that happened after an
-- instant, by its trail; edit(other) says that it happened at another time.
-- The trail is in the order of recording, so the search from its end is over where nothing can be late enough.
local function each_moved_since(p, instant, visit)
  local key, location = tags[partition_of[p]] .. 'trail:' .. sku_of[p], location_of[p]
  local function look(entry, entries, place)
    local recorded_at, occurred_at, where, units, more = match(entry, '^(%d+)\t(%d+)\t([^\t]*)\t(-?%d+)(.*)$')
    local state, order_ref = '', ''
    if more and more ~= '' then
      state, order_ref = match(more, '^\t([^\t]*)\t?([^\t]*)$')
    end
    if not units or not state then
      broken('not an entry of a trail', entry)
    end
    if where == location and state == '' and number(occurred_at) > instant then
      visit(number(units), order_ref, number(occurred_at), function(other)
        entries[place] = concat({ recorded_at, text_of(other), where, units }, '\t') .. more
      end)
    end
    return number(recorded_at)
  end
  local pending, edits = trails[key] or {}, trail_edits[key]
  for i = 1, #pending do
    look(pending[i], pending, i)
  end
  if not edits then
    edits = {}
    trail_edits[key] = edits
  end
  local last = -1
  while true do
    local entries = call('LRANGE', key, last - TRAIL_CHUNK + 1, last)
    for i = #entries, 1, -1 do
      local place = last - #entries + i
      if look(edits[place] or entries[i], edits, place) < instant - AHEAD_MS then
        return
      end
    end
    if #entries < TRAIL_CHUNK then
      return
    end
    last = last - TRAIL_CHUNK
    work = work + TRAIL_CHUNK
  end
end

-- Units that moved at a position after an instant: what a count of that instant must keep on top.
local function moved_since(p, instant)
  local moved = 0
  each_moved_since(p, instant, function(units)
    moved = moved + units
  end)
  return moved
end

-- Has fulfilments of orders that are recorded as later than an instant count as of it: who counted then found them gone.
--   orders   order_ref -> true
--   returns  units that go back on hand: those that the position's last count did not contain, and does by this
function counting.settle_orders(p, instant, orders)
  local counted_at, back = whole(counted_text[p]), 0
  each_moved_since(p, instant, function(units, order_ref, occurred_at, edit)
    if orders[order_ref] then
      edit(instant)
      if counted_at >= instant and occurred_at > counted_at then
        back = back - units
      end
    end
  end)
  return back
end

-- The position of a movement; one that does not exist yet is made in the tables and written only when it is applied.
local function position_for(sku, location, partition)
  local p = find_position(sku, location, partition)
  if p then
    return p, true
  end
  return new_position(sku, location, partition), false
end

counting.position_for = position_for

-- Decides how a ring-fence grows out of the pool, or with a negative quantity shrinks.
--   returns  nil and the new on_hand, or the word of the refusal and its numbers
local function decide_fence(p, channel, quantity)
  local fences = fences_of[p]
  local there = quantity < 0 and (fences and fences[channel] or 0) or math.max(0, pool_of(p))
  if math.abs(quantity) > there then
    return { 'INSUFFICIENT_STOCK', math.abs(quantity), there }
  end
  return nil, on_hand[p]
end

-- Decides a movement of any other kind but a count.
--   returns  the same
local function decide_change(p, kind, quantity, occurred_at, channel)
  if kind == 'RING_FENCE' then
    return decide_fence(p, channel, quantity)
  end
  local counted_at = whole(counted_text[p])
  if counted_at > 0 and occurred_at <= counted_at then
    return { 'COVERED_BY_COUNT', counted_at }
  end
  local units = kind == 'SALE' and -quantity or quantity
  local after = on_hand[p] + units
  if kind == 'SALE' then
    local reach = math.max(0, math.min(on_hand[p] - reserved[p], reach_of(p, channel, true)))
    if quantity > reach then
      return { 'INSUFFICIENT_STOCK', quantity, reach }
    end
  end
  if after < 0 then
    return { 'INSUFFICIENT_STOCK', -units, on_hand[p] }
  elseif after > UNITS_MAX then
    return { 'QUANTITY_OUT_OF_RANGE', on_hand[p], units }
  end
  return nil, after
end

-- Decides a count: on_hand was `quantity` at `occurred_at`, and what moved since is kept on top.
local function decide_count(p, exists, quantity, occurred_at)
  local counted_at = whole(counted_text[p])
  if counted_at > 0 and occurred_at < counted_at then
    return { 'OLDER_COUNT', counted_at }
  elseif exists and occurred_at < now_ms - count_window_ms then
    return { 'COUNT_TOO_OLD', now_ms - count_window_ms }
  end
  local moved = exists and moved_since(p, occurred_at) or 0
  local after = quantity + moved
  if after < 0 or after > UNITS_MAX then
    return { 'QUANTITY_OUT_OF_RANGE', quantity, moved }
  end
  return nil, after
end

counting.decide_count = decide_count

local function outcome_of(word, p, refusal)
  local outcome = { word, on_hand[p], reserved[p], whole(revised[p]) }
  if refusal then
    for i = 1, #refusal do
      outcome[4 + i] = refusal[i]
    end
  end
  return outcome
end

local MOVEMENT_SIZE = 8 -- partition, sku, location, kind, quantity, occurred_at_ms, expected revision or -1, channel

-- Changes the ring-fence of a movement's channel: a sale takes from it first. Returns its row, or ''.
local function fence_moved(p, kind, quantity, channel)
  if kind == 'RING_FENCE' and quantity ~= 0 then
    change_fence(p, channel, quantity)
  elseif kind ~= 'SALE' or take_from_fence(p, channel, quantity) == 0 then
    return ''
  end
  return fence_row(p, channel)
end

-- Decides a movement and applies it to the tables.
--   returns  its outcome, whether to remember the event, the partition to sweep first or nil
local function move(items, at, event, reason_and_reference)
  local partition, sku, location, kind = items[at], items[at + 1], items[at + 2], items[at + 3]
  local occurred_at, expected = given(items[at + 5], 0), items[at + 6]
  local is_signed, channel = kind == 'ADJUSTMENT' or kind == 'RING_FENCE', items[at + 7]
  local quantity = given(items[at + 4], is_signed and -UNITS_MAX or 0)
  local p, exists = position_for(sku, location, partition)
  if expected >= 0 and text_of(expected) ~= revised[p] then
    return outcome_of('REFUSED', p, { 'REVISION_MISMATCH', whole(revised[p]) })
  end
  local refusal, after
  if kind == 'COUNT' then
    refusal, after = decide_count(p, exists, quantity, occurred_at)
  else
    refusal, after = decide_change(p, kind, quantity, occurred_at, channel)
    local may_sweep = exists and (kind == 'SALE' or kind == 'RING_FENCE')
    if may_sweep and refusal and refusal[1] == 'INSUFFICIENT_STOCK' then
      local answer = expire_for({ partition })
      if answer == true then
        refusal, after = decide_change(p, kind, quantity, occurred_at, channel)
        answer = refusal and expire_for({ partition })
      end
      if answer then
        return nil, false, answer
      end
    end
  end
  if refusal then
    local is_stale = refusal[1] == 'OLDER_COUNT' or refusal[1] == 'COVERED_BY_COUNT'
    return outcome_of(is_stale and 'STALE' or 'REFUSED', p, refusal), is_stale
  end
  local rows, units = rows_in(partition), after - on_hand[p]
  if not exists then
    places_in(sku)[location] = p
    stock_key(sku, partition)
  end
  if kind == 'COUNT' then
    counted_text[p] = text_of(occurred_at)
  elseif kind ~= 'RING_FENCE' then
    remember_in_trail(p, units, occurred_at)
  end
  note_pool(p)
  set_on_hand(p, after)
  local row_of_fence = fence_moved(p, kind, quantity, channel)
  touch(p)
  rows[#rows + 1] = position_row(p, units, 0, kind, event, reason_and_reference, text_of(occurred_at)) .. row_of_fence
  cover_raised()
  return outcome_of('APPLIED', p), true
end

-- Applies movements in their order, each on its own.
--   keys   {pN}:log of every partition of a SKU or an event
--   args   1 message: { ..., { partition of a SKU, ... }, items, { item's event partition, ... }, { event, ... },
--          { reason TAB reference, ... } }; an event is source TAB event_id; items are flat, MOVEMENT_SIZE fields each
--   reply  per movement, as far as this call went: { result, on_hand, reserved, revision, then for STALE and REFUSED:
--          OLDER_COUNT, counted_at | COVERED_BY_COUNT, counted_at | COUNT_TOO_OLD, oldest |
--          REVISION_MISMATCH, revision | INSUFFICIENT_STOCK, wanted, available |
--          QUANTITY_OUT_OF_RANGE, on_hand, quantity }, or
--          { SWEEP_FIRST, partition }: sweep it, then send this one and those after it again
local function post_movements(_, args)
  local message = begin_call(args)
  begin_expiry(EXPIRE_MAX)
  local items, event_partitions, events, reasons = message[5], message[6], message[7], message[8]
  local events_now = 'events:' .. period
  local stored = look_up(event_partitions, events, { events_now, 'events:' .. period_before })
  local outcomes, seen = {}, {}
  for i = 1, #events do
    if work > WORK_MAX then
      break
    end
    local event, at = events[i], (i - 1) * MOVEMENT_SIZE + 1
    if stored[i] or seen[event] then
      outcomes[i] = outcome_of('REPEATED', (position_for(items[at + 1], items[at + 2], items[at])))
    else
      local outcome, is_final, sweep = move(items, at, event, reasons[i])
      if sweep then
        outcomes[i] = { 'SWEEP_FIRST', sweep }
        break
      end
      if is_final then
        seen[event] = true
        write_field(event_partitions[i], events_now, event, text_of(outcome[4]))
      end
      outcomes[i] = outcome
    end
  end
  return finish(outcomes, message[4][1])
end

redis.register_function('invengine_post_movements', post_movements)
redis.register_function('invengine_post_movements_of_one', of_pieces(post_movements)) -- all of one partition
end
