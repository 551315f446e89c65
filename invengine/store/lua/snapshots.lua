-- Snapshots: what a location had at an instant. Each row is a count as of then.

do
-- Units that were not in the last count of a position after all go back on hand.
local function put_back(p, snapshot, units)
  local rows = rows_in(snapshot.partition)
  note_pool(p)
  set_on_hand(p, on_hand[p] + units)
  touch(p)
  local as_of = text_of(snapshot.as_of)
  rows[#rows + 1] = position_row(p, units, 0, 'COUNT', snapshot.event, snapshot.reason .. '\t', as_of)
end

-- Applies a row: a count, or (quantity below 0) nothing but that orders were gone when the position was counted.
--   orders   { order_ref, ... }: fulfilments of these that are recorded as later than as_of happened then
--   returns  its outcome
local function apply_row(snapshot, sku, state, quantity, orders)
  local units_counted = math.max(quantity, 0)
  local m = moves.new('COUNT', snapshot.partition, sku, snapshot.location, units_counted, snapshot.as_of, state, '')
  local p, gone, back, refusal = m.p, {}, 0, nil
  local before, reserved_before = m.state and m.state.units or on_hand[p], m.state and 0 or reserved[p]
  for i = 1, #orders do
    gone[orders[i]] = true
  end
  if m.exists and not m.state and #orders > 0 and snapshot.as_of >= now_ms - count_window_ms then -- before that the trail has gaps
    back = moves.settle_orders(p, snapshot.as_of, gone)
  end
  if quantity >= 0 then
    refusal = moves.decide_count(m)
  end
  local is_count, is_same = quantity >= 0 and not refusal, back == 0
  if is_count then
    local is_known, counted = m.exists, counted_text[p]
    if m.state then
      is_known, counted = m.state.is_known, m.state.counted
    end
    is_same = is_known and m.after == before and whole(counted) == snapshot.as_of
  end
  if not is_same then
    if is_count then
      moves.carry_out(m, snapshot.event, snapshot.reason .. '\t')
    else
      put_back(p, snapshot, back)
    end
    cover_raised()
  end
  local word = is_same and 'REPEATED' or 'APPLIED'
  if refusal then
    word = refusal[1] == 'OLDER_COUNT' and 'STALE' or 'REFUSED'
  end
  local after, reserved_after = m.state and m.state.units or on_hand[p], m.state and 0 or reserved[p]
  local outcome = { word, after, reserved_after, whole(revised[p]), before, reserved_before }
  for i = 1, refusal and #refusal or 0 do
    outcome[6 + i] = refusal[i]
  end
  return outcome
end

-- Applies rows of a snapshot of a location, of SKUs of one partition, each on its own. A count of the same instant that
-- comes to what is there changes nothing, so sending a row again is safe.
--   keys   {pN}:log of the partition
--   args   1 message: { ..., { partition }, partition, location, as_of_ms, source TAB snapshot_id, reason, 1 when the
--          snapshot is full and its rows are applied: what has no position yet had no units then, else 0, items };
--          items are flat: sku, state or '' for units on hand, units or -1, { order_ref, ... }
--   reply  per item, as far as this call went: { APPLIED | REPEATED | STALE | REFUSED, units on hand or in the state,
--          reserved (of a state 0), revision, units before, reserved before, then for STALE and REFUSED: OLDER_COUNT,
--          counted_at | COUNT_TOO_OLD, oldest |
--          QUANTITY_OUT_OF_RANGE, quantity, moved }
local function apply_snapshot(_, args)
  local message = begin_call(args)
  begin_expiry(0)
  local snapshot = { partition = message[5], location = message[6], as_of = given(message[7], 0) }
  snapshot.event, snapshot.reason = message[8], message[9]
  if message[10] == 1 then
    local known = call('HGET', tags[snapshot.partition] .. 'counted', snapshot.location)
    if snapshot.as_of > whole(known or '0') then
      write_field(snapshot.partition, 'counted', snapshot.location, text_of(snapshot.as_of))
    end
  end
  local items, outcomes = message[11], {}
  for i = 1, #items / 4 do
    if work > WORK_MAX then
      break
    end
    local at = (i - 1) * 4
    outcomes[i] = apply_row(snapshot, items[at + 1], items[at + 2], given(items[at + 3], -1), items[at + 4])
  end
  return finish(outcomes, snapshot.partition)
end

redis.register_function('invengine_apply_snapshot', apply_snapshot)
redis.register_function('invengine_apply_snapshot_of_one', of_pieces(apply_snapshot)) -- where records are pieces

-- Remembers a snapshot by its id, so that one that was applied is not applied again.
--   keys   {pN}:log of the partition of the name
--   args   1 message: { ..., { partition }, partition, name: source TAB snapshot_id TAB location, fingerprint, ignored rows when all of it
--          is applied, else -1 }
--   reply  outcomes { 1 when all of it is applied else 0, rows that it ignored } | { REQUEST_MISMATCH }
local function note_snapshot(_, args)
  local message = begin_call(args)
  begin_expiry(0)
  local partition, name, fingerprint, ignored = message[5], message[6], message[7], given(message[8], -1)
  local snapshots_now = 'snapshots:' .. period
  local stored = look_up({ partition }, { name }, { snapshots_now, 'snapshots:' .. period_before })[1]
  local known, applied = match(stored or '', '^([^\t]*)\t(%d*)$')
  if known and known ~= fingerprint then
    return finish({ 'REQUEST_MISMATCH' }, partition)
  elseif not known or (applied == '' and ignored >= 0) then
    applied = ignored >= 0 and text_of(ignored) or ''
    write_field(partition, snapshots_now, name, fingerprint .. '\t' .. applied)
  end
  return finish(applied == '' and { 0, 0 } or { 1, whole(applied) }, partition)
end

redis.register_function('invengine_note_snapshot', note_snapshot)
end
