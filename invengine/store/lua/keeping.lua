-- The network document, the transit times, and forgetting what is past retention.

do -- Lua allows 200 local names at once: what only this uses ends with it
-- Stores a document, the network or the transit times. One equal to the stored one changes nothing, so a repeat is safe.
-- Its new revision is announced on the channel of the key's name.
--   keys   1 invengine:network or invengine:transit
--   args   1 the document   2 the revision that the caller saw, or ''   3 the caller's estimate of the time
--   reply  { APPLIED or SAME or REVISION_MISMATCH, revision as text }
local function apply_document(keys, args)
  if not call then
    bind()
  end
  local stored = call('HMGET', keys[1], 'document', 'revision')
  local revision = whole(stored[2] or '0')
  if stored[1] == args[1] then
    return { 'SAME', text_of(revision) }
  elseif args[2] ~= '' and whole(args[2]) ~= revision then
    return { 'REVISION_MISMATCH', text_of(revision) }
  end
  local next_revision = text_of(revision + 1)
  call('HSET', keys[1], 'document', args[1], 'revision', next_revision, 'applied_at_ms', text_of((store_time(args[3]))))
  call('PUBLISH', keys[1], next_revision)
  return { 'APPLIED', next_revision }
end

redis.register_function('invengine_apply_network', apply_document)
redis.register_function('invengine_apply_transit', apply_document)

local FORGET_MAX = 500 -- reservations per call

-- Takes closed reservations of a period out of the sets of their references: records, or heads, which have the same
-- first fields. Returns how many (a piece is none), how many entries that were, and whether all are done.
local function forget_closed(tag, key, is_head)
  local records, count = call('HSCAN', key, '0', 'COUNT', FORGET_MAX)[2], 0
  local has_transfers = call('EXISTS', tag .. 'transfers') == 1
  for i = 1, #records, 2 do
    local fields = {}
    for field in gmatch(records[i + 1] .. '\t', '([^\t]*)\t') do
      fields[#fields + 1] = field
    end
    if is_head or fields[TOKEN] == '' then -- not a piece, whose references are at its head
      count = count + 1
      for place, name in pairs({ [6] = 'customer:', [7] = 'order:', [8] = 'cart:' }) do
        if fields[place] ~= '' then
          call('SREM', tag .. name .. fields[place], records[i])
        end
      end
      if has_transfers then
        call('SREM', tag .. 'transfers', records[i])
      end
    end
    call('HDEL', key, records[i])
  end
  return count, #records / 2, call('EXISTS', key) == 0
end

-- Drops what is past retention from a partition: whole periods of events and requests, closed reservations and returns by
-- and by.
--   keys   1 {pN}:log
--   args   1 message: { ..., { partition }, partition, the first period that the store can have }
--   reply  outcomes { 1 when there is more to do else 0, reservations forgotten }
local function forget(_, args)
  local message = begin_call(args)
  begin_expiry(0)
  local partition, first = message[5], message[6]
  local tag, forgotten, last = tags[partition], 0, floor(now_s / retention) - 2
  local stored = call('GET', tag .. 'forgotten')
  local next_period, steps = stored and whole(stored) + 1 or first, 0
  while next_period <= last and steps < 1000 do
    local name = text_of(next_period)
    call('UNLINK', tag .. 'requests:' .. name, tag .. 'events:' .. name, tag .. 'snapshots:' .. name)
    call('UNLINK', tag .. 'undone:' .. name, tag .. 'aborted:' .. name)
    local count, entries, is_done = forget_closed(tag, tag .. 'closed:' .. name, false)
    local heads, head_entries, heads_are_done = forget_closed(tag, tag .. 'closed_heads:' .. name, true)
    local returns, returns_are_done = returning.forget(tag, tag .. 'closed_returns:' .. name, FORGET_MAX)
    forgotten, steps = forgotten + count + heads, steps + 1 + entries + head_entries + returns
    if is_done and heads_are_done and returns_are_done then
      call('SET', tag .. 'forgotten', name)
      next_period = next_period + 1
    end
  end
  return finish({ next_period <= last and 1 or 0, forgotten }, partition)
end

redis.register_function({ function_name = 'invengine_forget', callback = forget, flags = { 'allow-oom' } })
end
