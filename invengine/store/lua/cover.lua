-- Units that arrive or become free: pegged and backordered allocations become reserved ones.

-- The allocation of an entry of a queue, if it still waits for units of the receipt. A hold that is over is expired.
--   returns  record, lines and lines by id as lines_of gives them, line, allocation; or nil
local function waiting_allocation(receipt, home, id, leg)
  local record = records[id]
  if record == nil then
    local text = call('HGET', tags[home] .. 'reservations', id)
    record = text and read_record(id, home, text)
  end
  if not record or (record[STATE] ~= 'HELD' and record[STATE] ~= 'CONFIRMED') then
    return nil
  elseif record[STATE] == 'HELD' and whole(record[EXPIRES_AT]) <= now_s then
    if units_are_reserved(record) then
      expire_record(record)
    end
    return nil
  end
  local lines = lines_of(record)
  for n = 1, #lines do
    local line = lines[n]
    for a = 1, #line.allocations do
      local allocation = line.allocations[a]
      if allocation.leg == leg and line.partition == receipt.partition then
        local waits = not is_on_hand(allocation.source) and receipt_in(allocation.source) == receipt.id
        if waits and open_of(allocation) > 0 then
          return record, lines, line, allocation
        end
        return nil
      end
    end
  end
end

-- An allocation of a line, added to it without units yet. The partition's rows were asked for before.
local function add_allocation(line, location, source)
  local made = {
    location = location,
    leg = new_leg(line.partition),
    quantity = 0,
    fulfilled = 0,
    released = 0,
    source = source,
  }
  line.allocations[#line.allocations + 1] = made
  return made
end

-- Units of a pegged or backordered allocation are reserved at p from now on.
local function arrive(receipt, record, lines, line, allocation, p, units)
  local rows, its = rows_in(line.partition), nil
  for a = 1, #line.allocations do
    local one = line.allocations[a]
    if one.location == allocation.location and one.source == '' and one.quantity > 0 then
      its = one
      break
    end
  end
  its = its or add_allocation(line, allocation.location, '')
  its.quantity, allocation.quantity = its.quantity + units, allocation.quantity - units
  set_reserved(p, reserved[p] + units)
  touch(p)
  local channel_and_id = record[CHANNEL] .. '\t' .. record.id
  rows[#rows + 1] = position_row(p, 0, units, 'COVER', channel_and_id, '\t' .. record[ORDER_REF], now_text)
  if record[STATE] == 'HELD' then
    rows[#rows + 1] = row_of_hold(its.leg, line.sku, its.location, open_of(its), record[EXPIRES_AT], '')
  end
  incoming.unpeg(receipt, record, allocation.leg, units, open_of(allocation), '\tCOVER\t' .. channel_and_id, 1)
  write_lines(record, lines)
  record_changed(record)
end

do
-- Covers the backorders of a position with its pool, the oldest first.
local function cover_position(p)
  local receipt = incoming.find(sku_of[p], partition_of[p], location_of[p], '')
  if not receipt then
    return
  end
  local queue = incoming.queue_of(receipt)
  local is_unfinished = incoming.each_queued(queue, 1, function(home, id, leg, entry)
    if pool_of(p) <= 0 or receipt.pegged == 0 then
      return false
    elseif book.may_cover == 0 then
      return true
    end
    book.may_cover = book.may_cover - 1
    local record, lines, line, allocation = waiting_allocation(receipt, home, id, leg)
    if record then
      arrive(receipt, record, lines, line, allocation, p, math.min(pool_of(p), open_of(allocation)))
    else
      incoming.drop_queued(queue, entry, 1)
    end
  end)
  if is_unfinished then
    uncovered = uncovered or {}
    local n = #uncovered
    uncovered[n + 1], uncovered[n + 2], uncovered[n + 3] = partition_of[p], sku_of[p], location_of[p]
    work = WORK_MAX + 1 -- no further item: these come first
  end
end

-- Covers backorders at the positions whose pool the item raised that was carried out.
cover_raised = function()
  local i, p = 1, raised[1]
  while p do
    local pool, before = pool_of(p), pool_before[p]
    pool_before[p] = nil -- a hold that is over may raise it once more
    if pool > 0 and pool > before and incoming.is_waiting(partition_of[p]) then
      cover_position(p)
    end
    i = i + 1
    p = raised[i]
  end
  if i > 1 then
    raised, pool_before = {}, {}
  end
end

-- Covers the backorders of a position, as an answer COVER_FIRST asks for.
--   keys   {pN}:log of the partition; those of the reservations are derived
--   args   1 message: { ..., { partition }, partition, sku, location }
--   reply  outcomes {}, with COVER_FIRST when there is more to do
redis.register_function({
  function_name = 'invengine_cover',
  callback = function(_, args)
    local message = begin_call(args)
    local partition = message[5]
    begin_expiry(0)
    local p = find_position(message[6], message[7], partition)
    if p then
      cover_position(p)
      cover_raised()
    end
    return finish({}, partition)
  end,
  flags = { 'allow-oom' },
})
end
