-- Other promises for lines whose units stay where they are: another date, a later day for the receipts that they wait for.

do -- Lua allows 200 local names at once: what only this verb uses ends with them
local FUTURE = 9 -- place in a line of `lines_of`

-- The text of a line, what it may take of the future and what follows, with another promise: what stands before it and
-- the units that came back behind it stay.
local function with_promise(text, promise)
  local head = match(text, '^%*[^\30]*\30[^\30]*\30') or match(text, '^%d*')
  local slots = sub(text, #head + 1, #head + 1) == '+' and '+' or ''
  return head .. slots .. promise .. (match(text, '<%d+$') or '')
end

-- What a line waits for is due by a later day: promises that are kept by then, and those of which the receipt is gone,
-- are not broken any more. Returns whether anything changed.
local function put_off(line, due_day)
  local is_changed = false
  for a = 1, #line.allocations do
    local allocation = line.allocations[a]
    if open_of(allocation) > 0 and not is_on_hand(allocation.source) then
      local receipt_id, due = receipt_in(allocation.source)
      local is_kept = receipt_id == ''
      if receipt_id ~= '' then
        if due < due_day then
          due, is_changed = due_day, true
          allocation.source = '=' .. text_of(due_day) .. ' ' .. receipt_id
        end
        is_kept = incoming.of_source(line.sku, line.partition, allocation.location, allocation.source).day <= due
      end
      if is_kept and incoming.broken_at(line.partition, allocation.leg) then
        incoming.mend_promise(line.partition, allocation.leg)
        is_changed = true
      end
    end
  end
  return is_changed
end

-- A line of an item, one table: 1 line_id   2 the promise as the record says it, or false to keep what there is
--   3 the day, 0 to keep them
local function repromise_record(record, items, at)
  if transfers.is_one(record) then
    return { 'OF_TRANSFER' }
  end
  local lines, by_id = lines_of(record)
  local asked = {}
  for n = 1, items[at + 5] do
    asked[n] = items[at + CHANGE_SIZE + n - 1]
    given(asked[n][3], 0)
    if not by_id[asked[n][1]] then
      return { 'LINE_NOT_FOUND', n }
    end
  end
  local is_same = true
  for n = 1, #asked do
    local line = by_id[asked[n][1]]
    local text = asked[n][2] and with_promise(line[FUTURE], asked[n][2]) or line[FUTURE]
    if text ~= line[FUTURE] then
      line[FUTURE], is_same = text, false
    end
    if asked[n][3] > 0 and put_off(line, asked[n][3]) then
      is_same = false
    end
  end
  write_lines(record, lines)
  return nil, is_same
end

verbs.repromise = repromise_record

-- Lines get other promises. Refuses with LINE_NOT_FOUND, line | OF_TRANSFER.
redis.register_function('invengine_repromise', function(_, args)
  return change(args, repromise_record, 1, 0)
end)

-- Keeps the answer to a request that was carried out in several steps, unless it was answered before.
--   keys   {pN}:log of the partition of the request
--   args   1 message: { ..., { partition }, partition, request, fingerprint, the answer as text }
--   reply  outcomes APPLIED, '' | REPEATED, TAB and the earlier answer | REQUEST_MISMATCH
redis.register_function('invengine_remember', function(_, args)
  local message = begin_call(args)
  begin_expiry(0)
  local partition, request, fingerprint = message[5], message[6], message[7]
  local stored = look_up({ partition }, { request }, { requests_now, requests_before })[1]
  local earlier = earlier_answer(request, fingerprint, stored)
  if not earlier then
    remember_request(partition, request, fingerprint, '', message[8])
  end
  return finish(earlier or { 'APPLIED', '' }, partition)
end)
end
