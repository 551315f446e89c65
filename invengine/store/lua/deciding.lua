-- What movements and counts come to, decided before anything is changed: by what is on the shelf, and by the trail of what
-- moved there.

local moves = {} -- of the functions for movements, those that other fragments use too

do -- Lua allows 200 local names at once: what only this uses ends with it
local TRAIL_CHUNK = 500 -- entries of a trail read at once

-- Calls visit(units, order_ref, occurred_at, edit) for each change of a shelf that happened after an instant, by the trail
-- of its SKU; edit(other) says that it happened at another time.
-- The trail is in the order of recording, so the search from its end is over where nothing can be late enough.
--   shelf     '' for units on hand, else a state
--   recorded  0 or nil for changes of that time whenever they were recorded, else those recorded since
local function each_moved_since(p, shelf, instant, visit, recorded)
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
      if look(edits[place] or entries[i], edits, place) < math.max(instant, recorded or 0) - AHEAD_MS then
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

-- When a fulfilment of an order left that was carried out at an instant: then, or as of a count that contained the order.
function moves.left_at(p, units, order_ref, carried_out)
  local left_at = carried_out
  if order_ref ~= '' then
    each_moved_since(p, '', 0, function(moved, of_order, occurred_at)
      if of_order == order_ref and moved == -units and occurred_at < carried_out then
        left_at = occurred_at
      end
    end, carried_out)
  end
  return left_at
end

-- What a movement is about: { p, exists, kind, quantity, occurred_at, channel, state of unsellable.lua or nil for units
-- on hand; of a state change also where it goes: `to` likewise, or `is_gone` }. Its decision is put beside it: `after`
-- and `to_after` are the units that the two have then, nil where it leaves them as they are.

-- Units of one of the two, and when they were counted.
function moves.shelf_of(m, state)
  if state then
    return state.units, whole(state.counted)
  end
  return on_hand[m.p], whole(counted_text[m.p])
end

-- When a movement is contained in a count of one of the two: the time of the count.
local function counted_later(m, state)
  local _, counted_at = moves.shelf_of(m, state)
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
  local there = moves.shelf_of(m, state)
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
  local _, counted_at = moves.shelf_of(m, m.state)
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
end
