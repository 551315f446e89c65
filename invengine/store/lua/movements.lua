-- Stock coming in, going out, changing its state, being counted: decided, then applied.

do -- Lua allows 200 local names at once: what only this uses ends with it
local MOVEMENT_SIZE = 10 -- partition, sku, location, kind, quantity, occurred_at_ms, expected revision or -1, channel,
-- state or '' for units on hand, and where a state change goes: a state, '' for units on hand, 'gone'
local GONE = 'gone'
moves.GONE = GONE

-- The position of a movement; one that does not exist yet is made in the tables and written only when it is applied.
local function position_for(sku, location, partition)
  local p = find_position(sku, location, partition)
  if p then
    return p, true
  end
  return new_position(sku, location, partition), false
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
  local units = after - moves.shelf_of(m, state)
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

local LEAST = { RECEIPT = 0, SALE = 0, RETURN = 0, ADJUSTMENT = -UNITS_MAX } -- kinds of usual movements

-- The usual movement: units that come or go at a position that is there, has no ring-fences and was not counted since, and
-- of which a sale finds enough. Decided and applied in one go as by the functions below, in fewer steps. Returns its
-- outcome; nil where it is another one, and then nothing has happened.
local function move_usual(items, at, event, reason_and_reference)
  local partition, kind, quantity, occurred_at = items[at], items[at + 3], items[at + 4], items[at + 5]
  if not LEAST[kind] or items[at + 6] >= 0 or items[at + 8] ~= '' then
    return nil
  end
  local p = find_position(items[at + 1], items[at + 2], partition)
  if not p or fences_of[p] then
    return nil
  end
  local units, counted = given(quantity, LEAST[kind]), counted_text[p]
  local there, is_sale, happened = on_hand[p], kind == 'SALE', text_of(given(occurred_at, 0))
  if is_sale then
    units = -units
  end
  local after = there + units
  if (counted ~= '0' and occurred_at <= number(counted)) or after < 0 or after > UNITS_MAX
    or (is_sale and after < reserved[p]) then
    return nil
  end
  local rows = rows_in(partition)
  if units > 0 then
    note_pool(p)
  end
  remember_in_trail(p, units, occurred_at, nil, nil, happened)
  set_on_hand(p, after)
  touch(p)
  rows[#rows + 1] = 'P\t' .. sku_of[p] .. '\t' .. location_of[p] .. '\t' .. on_hand_text[p] .. '\t' .. reserved_text[p]
    .. '\t' .. counted .. '\t' .. text_of(units) .. '\t0\t' .. kind .. '\t' .. event .. '\t' .. reason_and_reference .. '\t'
    .. happened .. '\t\n'
  if units > 0 then
    cover_raised()
  end
  return { 'APPLIED', on_hand[p], reserved[p], revision_of[partition], 0, 0 }
end

-- Decides a movement and applies it to the tables.
--   returns  its outcome, whether to remember the event, the partition to sweep first or nil
local function move(items, at, event, reason_and_reference)
  local usual = move_usual(items, at, event, reason_and_reference)
  if usual then
    return usual, true
  end
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
