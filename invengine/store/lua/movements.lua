-- Stock coming in, going out, changing its state, being counted.

local moves = {} -- of these functions, those that snapshots and returns use too

do -- Lua allows 200 local names at once: what only this uses ends with it
local TRAIL_CHUNK = 500 -- entries of a trail read at once
local MOVEMENT_SIZE = 10 -- partition, sku, location, kind, quantity, occurred_at_ms, expected revision or -1, channel,
-- state or '' for units on hand, and where a state change goes: a state, '' for units on hand, 'gone'
local GONE = 'gone'
moves.GONE = GONE

-- Calls visit(units, order_ref, occurred_at, edit) for each change of a shelf that happened after an instant, by the trail
-- of its SKU; edit(other) says that it happened at another time.
-- The trail is in the order of recording, so the search from its end is over where nothing can be late enough.
--   shelf  '' for units on hand, else a state
local function each_moved_since(p, shelf, instant, visit)
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
    if where == location and state == shelf and number(occurred_at) > instant then
      visit(number(units), order_ref, number(occurred_at), function(other)
        entries[place] = concat({ recorded_at, text_of(other), where, units }, '\t') .. more
      end)
    end
    return number(recorded_at)
  end
  local pending, edits = trails[key] or {}, trails.edits[key]
  for i = 1, #pending do
    look(pending[i], pending, i)
  end
  if not edits then
    edits = {}
    trails.edits[key] = edits
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

-- Units that moved on a shelf after an instant: what a count of that instant must keep on top.
local function moved_since(p, shelf, instant)
  local moved = 0
  each_moved_since(p, shelf, instant, function(units)
    moved = moved + units
  end)
  return moved
end

-- Has fulfilments of orders that are recorded as later than an instant count as of it: who counted then found them gone.
--   orders   order_ref -> true
--   returns  units that go back on hand: those that the position's last count did not contain, and does by this
function moves.settle_orders(p, instant, orders)
  local counted_at, back = whole(counted_text[p]), 0
  each_moved_since(p, '', instant, function(units, order_ref, occurred_at, edit)
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

-- What a movement is about: { p, exists, kind, quantity, occurred_at, channel, state of unsellable.lua or nil for units
-- on hand; of a state change also where it goes: `to` likewise, or `is_gone` }. Its decision is put beside it: `after`
-- and `to_after` are the units that the two have then, nil where it leaves them as they are.

-- Units of one of the two, and when they were counted.
local function shelf_of(m, state)
  if state then
    return state.units, whole(state.counted)
  end
  return on_hand[m.p], whole(counted_text[m.p])
end

-- When a movement is contained in a count of one of the two: the time of the count.
local function counted_later(m, state)
  local _, counted_at = shelf_of(m, state)
  return counted_at > 0 and m.occurred_at <= counted_at and counted_at or nil
end

-- Decides how a ring-fence grows out of the pool, or with a negative quantity shrinks. Returns the refusal or nil.
local function decide_fence(m)
  local fences = fences_of[m.p]
  local there = m.quantity < 0 and (fences and fences[m.channel] or 0) or math.max(0, pool_of(m.p))
  if math.abs(m.quantity) > there then
    return { 'INSUFFICIENT_STOCK', math.abs(m.quantity), there }
  end
end

-- Decides units that come to a shelf or leave it. Returns the units there then; or nil and the refusal.
local function decide_units(m, state, units)
  local there = shelf_of(m, state)
  if there + units < 0 then
    return nil, { 'INSUFFICIENT_STOCK', -units, there }
  elseif there + units > UNITS_MAX then
    return nil, { 'QUANTITY_OUT_OF_RANGE', there, units }
  end
  return there + units
end

-- Decides how units get from one shelf to another: a count that contains the movement has its shelf right already.
local function decide_state_change(m)
  if not m.is_gone and m.state == m.to then
    broken('a state change that stays where it is', m.state and m.state.name or 'on hand')
  end
  local from_counted, to_counted = counted_later(m, m.state), not m.is_gone and counted_later(m, m.to)
  if from_counted and (m.is_gone or to_counted) then
    return { 'COVERED_BY_COUNT', from_counted }
  end
  local after, to_after, refusal
  if not from_counted then
    local free = m.state and m.state.units or math.max(0, pool_of(m.p)) -- neither reserved nor ring-fenced, like a sale
    if m.quantity > free then
      return { 'INSUFFICIENT_STOCK', m.quantity, free }
    end
    after = decide_units(m, m.state, -m.quantity)
  end
  if not m.is_gone and not to_counted then
    to_after, refusal = decide_units(m, m.to, m.quantity)
    if refusal then
      return refusal
    end
  end
  m.after, m.to_after = after, to_after
end

-- Decides a movement of any other kind but a count. Returns the refusal or nil.
function moves.decide(m)
  if m.kind == 'RING_FENCE' then
    return decide_fence(m)
  elseif m.kind == 'STATE_CHANGE' then
    return decide_state_change(m)
  end
  local counted_at = counted_later(m, m.state)
  if counted_at then
    return { 'COVERED_BY_COUNT', counted_at }
  end
  if m.kind == 'SALE' then
    local reach = math.max(0, math.min(on_hand[m.p] - reserved[m.p], reach_of(m.p, m.channel, true)))
    if m.quantity > reach then
      return { 'INSUFFICIENT_STOCK', m.quantity, reach }
    end
  end
  local refusal
  m.after, refusal = decide_units(m, m.state, m.kind == 'SALE' and -m.quantity or m.quantity)
  return refusal
end

-- Decides a count: there were `quantity` units at `occurred_at`, and what moved since is kept on top.
function moves.decide_count(m)
  local _, counted_at = shelf_of(m, m.state)
  local is_known = m.exists
  if m.state then
    is_known = m.state.is_known
  end
  if counted_at > 0 and m.occurred_at < counted_at then
    return { 'OLDER_COUNT', counted_at }
  elseif is_known and m.occurred_at < now_ms - count_window_ms then
    return { 'COUNT_TOO_OLD', now_ms - count_window_ms }
  end
  local moved = is_known and moved_since(m.p, m.state and m.state.name or '', m.occurred_at) or 0
  local after = m.quantity + moved
  if after < 0 or after > UNITS_MAX then
    return { 'QUANTITY_OUT_OF_RANGE', m.quantity, moved }
  end
  m.after = after
end

local function outcome_of(word, m, refusal)
  local p = m.p
  local outcome = {
    word, on_hand[p], reserved[p], whole(revised[p]), m.state and m.state.units or 0, m.to and m.to.units or 0,
  }
  if refusal then
    for i = 1, #refusal do
      outcome[6 + i] = refusal[i]
    end
  end
  return outcome
end

-- Changes the ring-fence of a movement's channel: a sale takes from it first. Returns its row, or ''.
local function fence_moved(m)
  if m.kind == 'RING_FENCE' and m.quantity ~= 0 then
    change_fence(m.p, m.channel, m.quantity)
  elseif m.kind ~= 'SALE' or take_from_fence(m.p, m.channel, m.quantity) == 0 then
    return ''
  end
  return fence_row(m.p, m.channel)
end

-- Lets a shelf have so many units. Returns by how many on_hand changed, and the row of a state or ''.
local function put(m, state, after)
  local units = after - shelf_of(m, state)
  local is_count = m.kind == 'COUNT'
  if not is_count then
    remember_in_trail(m.p, units, m.occurred_at, state and state.name)
  end
  if state then
    return 0, unsellable.change(state, after, is_count and m.occurred_at or nil)
  end
  if is_count then
    counted_text[m.p] = text_of(m.occurred_at)
  end
  set_on_hand(m.p, after)
  return units, ''
end

-- A movement, as told above, of a kind that is not bound to a channel.
function moves.new(kind, partition, sku, location, quantity, occurred_at, state, to)
  local p, exists = position_for(sku, location, partition)
  return {
    p = p, exists = exists, kind = kind, quantity = quantity, occurred_at = occurred_at, is_gone = to == GONE,
    state = state ~= '' and unsellable.find(sku, location, partition, state) or nil,
    to = to ~= '' and to ~= GONE and unsellable.find(sku, location, partition, to) or nil,
  }
end

-- Reads an item into one.
local function movement_at(items, at)
  local kind = items[at + 3]
  local is_signed = kind == 'ADJUSTMENT' or kind == 'RING_FENCE'
  local quantity = given(items[at + 4], is_signed and -UNITS_MAX or 0)
  local m = moves.new(
    kind, items[at], items[at + 1], items[at + 2], quantity, given(items[at + 5], 0), items[at + 8], items[at + 9]
  )
  m.channel = items[at + 7]
  return m
end

-- Decides a movement; where units on hand are short, once nothing that is due stands in the way any more.
--   returns  the refusal or nil, the partition to sweep first or nil
local function decide(m, partition)
  if m.kind == 'COUNT' then
    return moves.decide_count(m)
  end
  local refusal = moves.decide(m)
  local takes_free = m.kind == 'SALE' or m.kind == 'RING_FENCE' or (m.kind == 'STATE_CHANGE' and not m.state)
  if m.exists and takes_free and refusal and refusal[1] == 'INSUFFICIENT_STOCK' then
    local answer = expire_for({ partition })
    if answer == true then
      refusal = moves.decide(m)
      answer = refusal and expire_for({ partition })
    end
    if answer then
      return nil, answer
    end
  end
  return refusal
end

-- Applies a decided movement to the tables. What became free by it is still to be covered.
function moves.carry_out(m, actor_and_cause, reason_and_reference)
  local p, partition = m.p, partition_of[m.p]
  local rows, units, to_units, row_of_state, row_of_to = rows_in(partition), 0, 0, '', ''
  if not m.exists then
    places_in(sku_of[p])[location_of[p]] = p
    stock_key(sku_of[p], partition)
  end
  note_pool(p)
  if m.after then
    units, row_of_state = put(m, m.state, m.after)
  end
  if m.to_after then
    to_units, row_of_to = put(m, m.to, m.to_after)
  end
  local row_of_fence = fence_moved(m)
  touch(p)
  rows[#rows + 1] = position_row(p, units + to_units, 0, m.kind, actor_and_cause, reason_and_reference, text_of(m.occurred_at))
    .. row_of_fence .. row_of_state .. row_of_to
end

-- Decides a movement and applies it to the tables.
--   returns  its outcome, whether to remember the event, the partition to sweep first or nil
local function move(items, at, event, reason_and_reference)
  local partition, expected, m = items[at], items[at + 6], movement_at(items, at)
  local p = m.p
  if expected >= 0 and text_of(expected) ~= revised[p] then
    return outcome_of('REFUSED', m, { 'REVISION_MISMATCH', whole(revised[p]) })
  end
  local refusal, sweep = decide(m, partition)
  if sweep then
    return nil, false, sweep
  elseif refusal then
    local is_stale = refusal[1] == 'OLDER_COUNT' or refusal[1] == 'COVERED_BY_COUNT'
    return outcome_of(is_stale and 'STALE' or 'REFUSED', m, refusal), is_stale
  end
  moves.carry_out(m, event, reason_and_reference)
  cover_raised()
  return outcome_of('APPLIED', m), true
end

-- Keeps how far feeds are. One that is further already stays there; positions are decimal texts of up to 19 digits,
-- more than numbers are exact for.
--   marks    flat, MARK_SIZE fields each: place of the movement that must be decided before, partition of the feed, feed,
--            position, source TAB event_id
--   decided  how many movements are
local MARK_SIZE = 5

local function keep_marks(marks, decided)
  local newest = {}
  for at = 1, #marks, MARK_SIZE do
    if marks[at] <= decided then
      local partition, feed, position = marks[at + 1], marks[at + 2], marks[at + 3]
      local kept = newest[feed] or match(call('HGET', tags[partition] .. 'feeds', feed) or '', '^%d+')
      if not kept or #kept < #position or (#kept == #position and precedes(kept, position)) then
        newest[feed] = position
        write_field(partition, 'feeds', feed, position .. '\t' .. marks[at + 4] .. '\t' .. now_text)
      end
    end
  end
end

-- Applies movements in their order, each on its own.
--   keys   {pN}:log of every partition of a SKU, an event or a feed
--   args   1 message: { ..., { partition of a SKU, ... }, items, { item's event partition, ... }, { event, ... },
--          { reason TAB reference, ... }, marks }; an event is source TAB event_id; items are flat, MOVEMENT_SIZE fields
--          each; marks as `keep_marks` says, kept in the same step as the movement that they come with (servers of
--          an older version send none)
--   reply  per movement, as far as this call went: { result, on_hand, reserved, revision, units in the state that it names
--          or 0, units in the state that it goes to or 0, then for STALE and REFUSED:
--          OLDER_COUNT, counted_at | COVERED_BY_COUNT, counted_at | COUNT_TOO_OLD, oldest |
--          REVISION_MISMATCH, revision | INSUFFICIENT_STOCK, wanted, available |
--          QUANTITY_OUT_OF_RANGE, units there, quantity }, or
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
      outcomes[i] = outcome_of('REPEATED', movement_at(items, at))
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
  local last = outcomes[#outcomes]
  keep_marks(message[9] or {}, last and last[1] == 'SWEEP_FIRST' and #outcomes - 1 or #outcomes)
  return finish(outcomes, message[4][1])
end

-- Keeps how far feeds of one partition are, after what they brought was decided elsewhere.
--   keys   1 {pN}:log
--   args   1 message: { ..., { partition }, marks }
--   reply  outcomes { }
local function mark_feeds(_, args)
  local message = begin_call(args)
  begin_expiry(0)
  keep_marks(message[5], 0)
  return finish({}, message[4][1])
end

redis.register_function('invengine_mark_feeds', mark_feeds)
redis.register_function('invengine_post_movements', post_movements)
redis.register_function('invengine_post_movements_of_one', of_pieces(post_movements)) -- all of one partition
end
