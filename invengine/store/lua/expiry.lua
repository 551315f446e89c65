-- Holds whose time is over. They are expired by the sweeper, and by any call that finds stock short.

local EXPIRE_MAX = 500 -- reservations per call

local begin_expiry, look_at, units_are_reserved, give_back, expire_record, expire_for
local cover_raised -- set by cover.lua

do -- Lua allows 200 local names at once: what only these use ends with them
local buckets -- second -> partition -> entries to append to its bucket
local bucket_cuts -- a list of { partition, second, entries read, whether these were all }
local swept -- partition -> true: all that was due is expired; false: more is due
local budget -- how many may still be expired by this call

function begin_expiry(limit)
  buckets, bucket_cuts, swept, budget = {}, {}, {}, limit
end

-- Has a reservation looked at in a partition when `second` begins; `entry` is home TAB reservation_id.
function look_at(partition, second, entry)
  local by_partition = buckets[second]
  if not by_partition then
    by_partition = {}
    buckets[second] = by_partition
  end
  local entries = by_partition[partition]
  if not entries then
    by_partition[partition] = { entry }
  elseif entries[#entries] ~= entry then -- another line of the same reservation
    entries[#entries + 1] = entry
  end
end

-- Whether positions have reserved and receipts pegged what a record says is open; false only where data are damaged.
function units_are_reserved(record)
  local taken = {}
  return not each_allocation(record, function(line, allocation)
    local units, source = open_units(record, allocation), record[allocation + SOURCE]
    if units > 0 then
      local sku, partition, there = record[line + LINE_SKU], whole(record[line + LINE_PARTITION]), nil
      local on_hand_here = is_on_hand(source)
      if on_hand_here then
        there = find_position(sku, record[allocation], partition)
      else
        there = incoming.find(sku, partition, record[allocation], (receipt_in(source)))
      end
      if not there then
        return true
      end
      taken[there] = (taken[there] or 0) + units
      if taken[there] > (on_hand_here and reserved[there] or there.pegged) then
        return true
      end
    end
  end)
end

-- Ends the setting aside of open units of an allocation: they are free, or promised to nobody any more.
function give_back(record, line, allocation, units, kind, channel_and_id)
  local sku, location, partition = record[line + LINE_SKU], record[allocation], whole(record[line + LINE_PARTITION])
  local source, left = record[allocation + SOURCE], open_units(record, allocation) - units
  record[allocation + RELEASED] = text_of(whole(record[allocation + RELEASED]) + units)
  if not is_on_hand(source) then
    local receipt = incoming.of_source(sku, partition, location, source)
    incoming.unpeg(receipt, record, record[allocation + LEG], units, left, '\t' .. kind .. '\t' .. channel_and_id, -1)
    return
  end
  local p, rows = find_position(sku, location, partition), rows_in(partition)
  note_pool(p)
  set_reserved(p, reserved[p] - units)
  touch(p)
  rows[#rows + 1] = position_row(p, 0, -units, kind, channel_and_id, '\t' .. record[ORDER_REF], now_text)
  if source ~= '' then
    local out_of_fence, channel = fence_in(source)
    if out_of_fence > left then -- those of the pool went first
      change_fence(p, channel, out_of_fence - left)
      record[allocation + SOURCE] = source_of_fence(left, channel)
      rows[#rows + 1] = fence_row(p, channel)
    end
  end
  if record[STATE] == 'HELD' then
    rows[#rows + 1] = hold_row(record, line, allocation, left, left > 0 and record[EXPIRES_AT] or '0')
  end
end

-- The units of a record become free, and it is closed in `state`; `kind` is what its rows say.
function expire_record(record, kind, state)
  local channel_and_id = record[CHANNEL] .. '\t' .. record.id
  each_allocation(record, function(line, allocation)
    local units = open_units(record, allocation)
    if units > 0 then
      give_back(record, line, allocation, units, kind, channel_and_id)
    end
  end)
  record[STATE] = state
  record_changed(record)
end

-- Expires what is due in a partition, as far as the budget of this call goes. Entries of reservations that were closed,
-- confirmed or extended meanwhile are dropped. Fills `expired` with ids, and swept[partition].
local function expire_due(partition, expired)
  local tag = tags[partition]
  local seconds = call('ZRANGEBYSCORE', tag .. 'expiry', '-inf', text_of(now_s), 'LIMIT', 0, 100)
  swept[partition] = #seconds < 100
  for i = 1, #seconds do
    if budget <= 0 then
      swept[partition] = false
      return
    end
    local second = seconds[i]
    local entries = call('LRANGE', tag .. 'expiry:' .. second, 0, budget)
    local last = math.min(#entries, budget)
    budget = budget - last
    bucket_cuts[#bucket_cuts + 1] = { partition, second, last, last == #entries }
    if last < #entries then
      swept[partition] = false
    end
    for e = 1, last do
      local home, id = match(entries[e], '^(%d+)\t(.*)$')
      home = whole(home)
      local record = records[id]
      if record == nil then
        local text = call('HGET', tags[home] .. 'reservations', id)
        record = text and read_record(id, home, text)
      end
      if record and record[STATE] == 'HELD' and whole(record[EXPIRES_AT]) <= now_s then
        if units_are_reserved(record) then
          expire_record(record, 'EXPIRE', 'EXPIRED')
          expired[#expired + 1] = id
        else -- one damaged record must not stop all others: it stays, and the integrity check names it
          redis.log(redis.LOG_WARNING, 'invengine: units of reservation ' .. id .. ' are missing')
        end
      end
    end
  end
end

-- Whether anything changed for an item that is short: expires what is due in the partitions, each once per call, and
-- covers backorders with what became free.
--   returns  true when something was expired, then decide anew; nil when nothing was due; else the partition to sweep
function expire_for(partitions)
  if piece then -- whether a piece is over is for the head to say: the caller asks it, and comes again
    local first = call('ZRANGEBYSCORE', tags[partitions[1]] .. 'expiry', '-inf', text_of(now_s), 'LIMIT', 0, 1)
    return first[1] and partitions[1] or nil
  end
  local expired = {}
  for i = 1, #partitions do
    local partition = partitions[i]
    if swept[partition] == nil then
      expire_due(partition, expired)
    end
  end
  if #expired > 0 then
    cover_raised()
    return true
  end
  for i = 1, #partitions do
    if not swept[partitions[i]] then
      return partitions[i]
    end
  end
  return nil
end

writers[#writers + 1] = function()
  for second, by_partition in pairs(buckets) do
    for partition, entries in pairs(by_partition) do
      local tag = tags[partition]
      if append(tag .. 'expiry:' .. second, entries) == #entries then -- a new bucket
        call('ZADD', tag .. 'expiry', second, second)
      end
    end
  end
  for i = 1, #bucket_cuts do
    local cut = bucket_cuts[i]
    local tag, second = tags[cut[1]], cut[2]
    if cut[4] then
      call('DEL', tag .. 'expiry:' .. second)
      call('ZREM', tag .. 'expiry', second)
    else
      call('LTRIM', tag .. 'expiry:' .. second, cut[3], -1)
    end
  end
end

-- Expires holds of a partition whose time is over, oldest first.
--   keys   {pN}:log of the partition; those of other partitions that the reservations touch are derived
--   args   1 message: { ..., { partition }, partition, limit }
--   reply  outcomes { 1 when more is due else 0, reservation_id, ... }
local function expire(_, args)
  local message = begin_call(args)
  local partition = message[5]
  begin_expiry(message[6])
  local expired = { 0 }
  expire_due(partition, expired)
  if not swept[partition] then
    expired[1] = 1
  end
  cover_raised()
  return finish(expired, partition)
end

redis.register_function({ function_name = 'invengine_expire', callback = expire, flags = { 'allow-oom' } })
end
