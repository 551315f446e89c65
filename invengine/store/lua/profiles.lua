-- Sourcing profiles: versions that are written once, and which of them is active for a channel.

do -- Lua allows 200 local names at once: what only this uses ends with it
-- What all functions here need: binds what Redis offers, and names the keys beside the declared one.
--   returns  the tag of the other keys, the revision
local function begin_profiles(keys)
  if not call then
    bind()
  end
  return '{' .. keys[1] .. '}:', whole(call('HGET', keys[1], 'revision') or '0')
end

-- Writes fields beside the next revision, and announces that on the channel of the key's name.
local function change_profiles(key, revision, at_ms, ...)
  local next_revision = text_of(revision + 1)
  call('HSETNX', key, 'made_at_ms', at_ms)
  call('HSET', key, 'revision', next_revision, 'changed_at_ms', at_ms, ...)
  call('PUBLISH', key, next_revision)
  return next_revision
end

-- Keeps the next version of a profile. Content that its newest version has makes none.
--   keys   1 invengine:profiles
--   args   1 name   2 fingerprint of the content   3 document   4 who asks   5 request_id
--          6 the newest version that the caller saw, or ''   7 profiles that can be kept   8 versions, of all together
--          9 the caller's estimate of the time
--   reply  { APPLIED, SAME or REPEATED, version } | { REQUEST_MISMATCH } | { REVISION_MISMATCH, newest version }
--          | { TOO_MANY_PROFILES, profiles or versions }
local function put_profile(keys, args)
  local tag, revision = begin_profiles(keys)
  local name, print_of = args[1], args[2]
  local made = call('HGET', tag .. 'requests', args[5])
  if made then
    local fingerprint, version, of = match(made, '^(.-)\t(.-)\t(.*)$')
    if fingerprint == print_of and of == name then
      return { 'REPEATED', version }
    end
    return { 'REQUEST_MISMATCH' }
  end
  local newest = whole(call('HGET', keys[1], 'newest\t' .. name) or '0')
  if newest > 0 then
    local stored = call('HGET', tag .. 'versions', name .. '@' .. text_of(newest))
    if match(stored, '^(.-)\t') == print_of then
      return { 'SAME', text_of(newest) }
    end
  end
  if args[6] ~= '' and whole(args[6]) ~= newest then
    return { 'REVISION_MISMATCH', text_of(newest) }
  end
  local profiles = whole(call('HGET', keys[1], 'profiles') or '0')
  if newest == 0 and profiles >= whole(args[7]) then
    return { 'TOO_MANY_PROFILES', 'profiles' }
  elseif call('HLEN', tag .. 'versions') >= whole(args[8]) then
    return { 'TOO_MANY_PROFILES', 'versions' }
  end
  local version, at_ms = text_of(newest + 1), text_of((store_time(args[9])))
  call('HSET', tag .. 'versions', name .. '@' .. version, concat({ print_of, at_ms, args[4], args[3] }, '\t'))
  call('HSET', tag .. 'requests', args[5], concat({ print_of, version, name }, '\t'))
  profiles = text_of(newest == 0 and profiles + 1 or profiles)
  change_profiles(keys[1], revision, at_ms, 'profiles', profiles, 'newest\t' .. name, version)
  return { 'APPLIED', version }
end

-- Makes a version the active one of a channel, or none. Sent again it changes nothing, as long as the channel's history
-- goes back so far; neither does what is active already.
--   keys   1 invengine:profiles
--   args   1 channel   2 name, or '' for none   3 version, from 1, or ''   4 profile as the caller named it   5 who asks
--          6 request_id   7 the activation's revision that the caller saw, or ''   8 channels that can have one
--          9 entries of a history   10 the caller's estimate of the time
--   reply  { APPLIED, SAME or REPEATED, activation }: `revision TAB at_ms TAB profile TAB who`, of 0 and 0 where there never
--          was one | { UNKNOWN_PROFILE } | { REQUEST_MISMATCH } | { REVISION_MISMATCH, revision }
--          | { TOO_MANY_PROFILES, channels }
local function activate_profile(keys, args)
  local tag, revision = begin_profiles(keys)
  local history, field = tag .. 'activations:' .. args[1], 'active\t' .. args[1]
  local profile = args[2] == '' and '' or args[2] .. '@' .. args[3]
  for _, entry in ipairs(call('LRANGE', history, 0, -1)) do
    local activation, request, asked = match(entry, '^(.-\t.-\t.-\t.-)\t(.-)\t(.*)$')
    if request == args[6] then
      if asked == args[4] then
        return { 'REPEATED', activation }
      end
      return { 'REQUEST_MISMATCH' }
    end
  end
  if profile ~= '' and call('HEXISTS', tag .. 'versions', profile) == 0 then
    return { 'UNKNOWN_PROFILE' }
  end
  local standing = call('HGET', keys[1], field)
  local seen, of = match(standing or '0\t0\t\t', '^(.-)\t.-\t(.-)\t')
  if of == profile then
    return { 'SAME', standing or '0\t0\t\t' }
  elseif args[7] ~= '' and whole(args[7]) ~= whole(seen) then
    return { 'REVISION_MISMATCH', seen }
  end
  local channels = whole(call('HGET', keys[1], 'channels') or '0')
  if not standing and channels >= whole(args[8]) then
    return { 'TOO_MANY_PROFILES', 'channels' }
  end
  local at_ms = text_of((store_time(args[10])))
  local activation = concat({ text_of(revision + 1), at_ms, profile, args[5] }, '\t')
  call('LPUSH', history, concat({ activation, args[6], args[4] }, '\t'))
  call('LTRIM', history, 0, whole(args[9]) - 1)
  channels = text_of(standing and channels or channels + 1)
  change_profiles(keys[1], revision, at_ms, 'channels', channels, field, activation)
  return { 'APPLIED', activation }
end

redis.register_function('invengine_put_profile', put_profile)
redis.register_function('invengine_activate_profile', activate_profile)
end
