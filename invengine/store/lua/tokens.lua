-- Tokens: who may call. Their secrets are not here, only hashes of them.

do -- Lua allows 200 local names at once: what only this uses ends with it
-- Writes fields beside the next revision, and announces that on the channel of the key's name.
local function change_tokens(key, at_ms, ...)
  local next_revision = text_of(whole(call('HGET', key, 'revision') or '0') + 1)
  call('HSET', key, 'revision', next_revision, 'changed_at_ms', at_ms, ...)
  call('PUBLISH', key, next_revision)
end

-- Keeps a new token.
--   keys   1 invengine:tokens
--   args   1 id   2 record, see README   3 request_id   4 fingerprint of the request   5 tokens that can be kept
--          6 fields to forget, each with a line feed behind it   7 the caller's estimate of the time
--   reply  { APPLIED or REPEATED, id } | { REQUEST_MISMATCH } | { TOO_MANY_TOKENS }
local function issue_token(keys, args)
  if not call then
    bind()
  end
  local request = 'request\t' .. args[3]
  local made = call('HGET', keys[1], request)
  if made then
    local fingerprint, id = match(made, '^(.-)\t(.*)$')
    if fingerprint == args[4] then
      return { 'REPEATED', id }
    end
    return { 'REQUEST_MISMATCH' }
  end
  local forgotten, kept = {}, whole(call('HGET', keys[1], 'tokens') or '0')
  for field in gmatch(args[6], '([^\n]+)\n') do
    forgotten[#forgotten + 1] = field
    if sub(field, 1, 6) == 'token\t' and call('HEXISTS', keys[1], field) == 1 then
      kept = kept - 1
    end
  end
  if kept >= whole(args[5]) then
    return { 'TOO_MANY_TOKENS' }
  end
  local at_ms = text_of((store_time(args[7])))
  if #forgotten > 0 then
    call('HDEL', keys[1], spread(forgotten))
  end
  change_tokens(
    keys[1], at_ms, 'tokens', text_of(kept + 1), 'token\t' .. args[1], args[2], request, args[4] .. '\t' .. args[1]
  )
  return { 'APPLIED', args[1] }
end

-- Ends a token; one that has ended stays as it is.
--   keys   1 invengine:tokens
--   args   1 id   2 the caller's estimate of the time
--   reply  { APPLIED or SAME, revoked_at_ms } | { TOKEN_NOT_FOUND }
local function revoke_token(keys, args)
  if not call then
    bind()
  end
  if call('HEXISTS', keys[1], 'token\t' .. args[1]) == 0 then
    return { 'TOKEN_NOT_FOUND' }
  end
  local revoked_at = call('HGET', keys[1], 'revoked\t' .. args[1])
  if revoked_at then
    return { 'SAME', revoked_at }
  end
  local at_ms = text_of((store_time(args[2])))
  change_tokens(keys[1], at_ms, 'revoked\t' .. args[1], at_ms)
  return { 'APPLIED', at_ms }
end

redis.register_function('invengine_issue_token', issue_token)
redis.register_function('invengine_revoke_token', revoke_token)
end
