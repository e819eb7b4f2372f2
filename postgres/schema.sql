-- Version 1 of the schema. "{schema}" is replaced by the schema's name.
--
-- Strings of users and browsers are bytea: a text column takes neither a zero
-- byte nor bytes that are not UTF-8. Times are milliseconds since 1970; a
-- deadline that never comes is the greatest bigint.
--
-- due is a deadline rounded down, the coarser the further away it is, so that
-- most touches change no indexed column and stay on their page.
--
-- Locks are taken in this order: the advisory lock of a user's shard or of a
-- subnet, session rows by key, browser rows by key, tab rows, value rows.
-- Every function that waits for a lock reads with a new statement after it,
-- and so, under READ COMMITTED, with a new snapshot.

create table "{schema}".session (
	opened   bigint not null,
	seen     bigint not null,
	expires  bigint not null,
	deadline bigint not null,
	due      bigint not null,
	userhash bigint not null, -- of usr, which may be too long for an index
	key      bytea  not null primary key,
	browser  bytea  not null,
	id       bytea  not null,
	usr      bytea  not null,
	agent    bytea  not null,
	addr     bytea  not null
) with (fillfactor = 90);
create index session_by_user on "{schema}".session (userhash);
create index session_by_due on "{schema}".session (due);

create table "{schema}".browser (
	seen      bigint not null,
	deadline  bigint not null,
	due       bigint not null,
	key       bytea  not null primary key,
	hierarchy bytea  not null,
	subnet    bytea  not null
) with (fillfactor = 90);
create index browser_by_subnet on "{schema}".browser (subnet, seen);
create index browser_by_due on "{schema}".browser (due);

-- There is a row for each tab that has values, and for no other.
create table "{schema}".tab (
	deadline bigint not null,
	due      bigint not null,
	owner    bytea  not null,
	tab      bytea  not null,
	id       bytea, -- when tab is shortened
	primary key (owner, tab)
) with (fillfactor = 90);
create index tab_by_due on "{schema}".tab (due);

-- Owner is 's' or 'b' and a key, 'u' and a user, or 'w'. A tab of no bytes
-- stands for the owner itself.
create table "{schema}".value (
	version bigint not null,
	owner   bytea  not null,
	tab     bytea  not null,
	name    bytea  not null,
	data    bytea  not null,
	primary key (owner, tab, name)
);

create sequence "{schema}".version;

-- A session that ended, as one record of a packet.
create function "{schema}".pack(s "{schema}".session, p_reason bytea, p_left int)
returns bytea language sql immutable as $$
	select 'e'::bytea || s.key || s.browser
		|| int8send(s.opened) || int8send(s.seen) || int8send(s.expires) || int8send(s.deadline)
		|| int4send(p_left)
		|| int4send(length(p_reason)) || p_reason
		|| int4send(length(s.id)) || s.id
		|| int4send(length(s.usr)) || s.usr
		|| int4send(length(s.agent)) || s.agent
		|| int4send(length(s.addr)) || s.addr
$$;

-- Sends a packet to who listens, in parts, since a payload has less than 8,000
-- bytes. Notifications of one transaction arrive together and in order.
create function "{schema}".announce(p_channel text, p_origin text, p_packet bytea)
returns void language plpgsql as $$
declare
	parts int := (length(p_packet) + 5699) / 5700;
begin
	for i in 1..parts loop
		perform pg_notify(p_channel, p_origin || ' ' || i || ' ' || parts || ' '
			|| encode(substring(p_packet from (i - 1) * 5700 + 1 for 5700), 'base64'));
	end loop;
end $$;

create function "{schema}".publish(p_channel text, p_origin text, p_packet bytea)
returns void language plpgsql as $$
begin
	-- Who listens now hears it; a crash forgets it anyway.
	perform set_config('synchronous_commit', 'off', true);
	perform "{schema}".announce(p_channel, p_origin, p_packet);
end $$;

-- Ends sessions whose shards are locked. A write of their values in flight
-- holds its session's row: it is waited for, and its values go as well.
create function "{schema}".end_sessions(p_keys bytea[], p_reason bytea, p_channel text, p_origin text)
returns bytea language plpgsql as $$
declare
	gone   "{schema}".session[];
	owners bytea[];
	packet bytea;
begin
	perform 1 from "{schema}".session where key = any(p_keys) order by key for update;
	with ended as (
		delete from "{schema}".session s where s.key = any(p_keys) returning s as r, s.key
	)
	select array_agg(e.r), array_agg('s'::bytea || e.key) into gone, owners from ended e;
	if gone is null then
		return ''::bytea;
	end if;
	delete from "{schema}".tab where owner = any(owners);
	delete from "{schema}".value where owner = any(owners);
	with users as materialized (
		select u.userhash, u.usr, (
			select count(*)::int from "{schema}".session s where s.userhash = u.userhash and s.usr = u.usr
		) as n
		from (select distinct g.userhash, g.usr from unnest(gone) g) u
	)
	select string_agg("{schema}".pack(g, p_reason, u.n), ''::bytea) into packet
	from unnest(gone) g join users u on u.userhash = g.userhash and u.usr = g.usr;
	perform "{schema}".announce(p_channel, p_origin, packet);
	return packet;
end $$;

create function "{schema}".create_session(
	p_channel text, p_origin text, p_reason bytea, p_lock bigint, p_limit bigint,
	p_opened bigint, p_seen bigint, p_expires bigint, p_deadline bigint, p_due bigint, p_userhash bigint,
	p_key bytea, p_browser bytea, p_id bytea, p_usr bytea, p_agent bytea, p_addr bytea
) returns bytea language plpgsql as $$
declare
	doomed bytea[];
begin
	perform pg_advisory_xact_lock(p_lock);
	insert into "{schema}".session
		(opened, seen, expires, deadline, due, userhash, key, browser, id, usr, agent, addr)
	values (p_opened, p_seen, p_expires, p_deadline, p_due, p_userhash,
		p_key, p_browser, p_id, p_usr, p_agent, p_addr);
	if p_limit > 0 then
		select array_agg(d.key) into doomed from (
			select s.key from "{schema}".session s
			where s.userhash = p_userhash and s.usr = p_usr and s.key <> p_key
			order by s.seen desc, s.opened desc, s.key offset p_limit - 1
		) d;
		if doomed is not null then
			return "{schema}".end_sessions(doomed, p_reason, p_channel, p_origin);
		end if;
	end if;
	return ''::bytea;
end $$;

create function "{schema}".end_session(
	p_channel text, p_origin text, p_reason bytea, p_lock bigint, p_key bytea
) returns bytea language plpgsql as $$
begin
	perform pg_advisory_xact_lock(p_lock);
	return "{schema}".end_sessions(array[p_key], p_reason, p_channel, p_origin);
end $$;

create function "{schema}".end_user(
	p_channel text, p_origin text, p_reason bytea, p_lock bigint,
	p_userhash bigint, p_usr bytea, p_keep bytea[]
) returns bytea language plpgsql as $$
declare
	doomed bytea[];
begin
	perform pg_advisory_xact_lock(p_lock);
	select array_agg(s.key) into doomed from "{schema}".session s
	where s.userhash = p_userhash and s.usr = p_usr and s.key <> all(p_keep);
	if doomed is null then
		return ''::bytea;
	end if;
	return "{schema}".end_sessions(doomed, p_reason, p_channel, p_origin);
end $$;

-- Ends sessions that are due. What another sweeper, or whoever ends or writes,
-- holds at the moment is passed over. p_locks is the first of the shards' locks.
create function "{schema}".expire_sessions(
	p_channel text, p_origin text, p_reason bytea, p_locks bigint, p_now bigint, p_max int,
	out packet bytea, out more boolean
) language plpgsql as $$
declare
	candidates bytea[];
	doomed     bytea[];
begin
	select array_agg(f.key) into candidates from (
		select s.key from "{schema}".session s where s.due <= p_now and s.deadline <= p_now
		order by s.due limit p_max + 1 for update skip locked
	) f;
	select array_agg(f.key) into doomed from unnest(candidates[1:p_max]) f(key)
	where pg_try_advisory_xact_lock(p_locks + get_byte(f.key, 0) * 256 + get_byte(f.key, 1));
	more := coalesce(cardinality(candidates), 0) > coalesce(cardinality(doomed), 0);
	packet := ''::bytea;
	if doomed is not null then
		packet := "{schema}".end_sessions(doomed, p_reason, p_channel, p_origin);
	end if;
end $$;

create function "{schema}".end_browsers(p_keys bytea[])
returns bytea[] language plpgsql as $$
declare
	gone   bytea[];
	owners bytea[];
begin
	perform 1 from "{schema}".browser where key = any(p_keys) order by key for update;
	with ended as (
		delete from "{schema}".browser b where b.key = any(p_keys) returning b.key
	)
	select array_agg(e.key), array_agg('b'::bytea || e.key) into gone, owners from ended e;
	if gone is null then
		return '{}';
	end if;
	delete from "{schema}".tab where owner = any(owners);
	delete from "{schema}".value where owner = any(owners);
	return gone;
end $$;

create function "{schema}".create_browser(
	p_lock bigint, p_limit bigint, p_seen bigint, p_deadline bigint, p_due bigint,
	p_key bytea, p_hierarchy bytea, p_subnet bytea
) returns bytea[] language plpgsql as $$
declare
	doomed bytea[];
begin
	perform pg_advisory_xact_lock(p_lock);
	insert into "{schema}".browser (seen, deadline, due, key, hierarchy, subnet)
	values (p_seen, p_deadline, p_due, p_key, p_hierarchy, p_subnet)
	on conflict (key) do nothing;
	if found and p_limit > 0 then
		select array_agg(d.key) into doomed from (
			select b.key from "{schema}".browser b
			where b.subnet = p_subnet and b.key <> p_key
			order by b.seen desc offset p_limit - 1
		) d;
		if doomed is not null then
			return "{schema}".end_browsers(doomed);
		end if;
	end if;
	return '{}';
end $$;

create function "{schema}".expire_browsers(p_now bigint, p_max int)
returns boolean language plpgsql as $$
declare
	candidates bytea[];
begin
	select array_agg(f.key) into candidates from (
		select b.key from "{schema}".browser b where b.due <= p_now and b.deadline <= p_now
		order by b.due limit p_max + 1 for update skip locked
	) f;
	if candidates is null then
		return false;
	end if;
	perform "{schema}".end_browsers(candidates[1:p_max]);
	return cardinality(candidates) > p_max;
end $$;

create function "{schema}".expire_tabs(p_now bigint, p_max int)
returns boolean language plpgsql as $$
declare
	owners bytea[];
	tabs   bytea[];
begin
	select array_agg(f.owner), array_agg(f.tab) into owners, tabs from (
		select t.owner, t.tab from "{schema}".tab t where t.due <= p_now and t.deadline <= p_now
		order by t.due limit p_max + 1 for update skip locked
	) f;
	if owners is null then
		return false;
	end if;
	delete from "{schema}".tab t using unnest(owners[1:p_max], tabs[1:p_max]) d(owner, tab)
	where t.owner = d.owner and t.tab = d.tab;
	delete from "{schema}".value v using unnest(owners[1:p_max], tabs[1:p_max]) d(owner, tab)
	where v.owner = d.owner and v.tab = d.tab;
	return cardinality(owners) > p_max;
end $$;

-- Writes one value, or removes it if p_data is null. All of p_sessions have to
-- exist, of user p_usr if that is not null; p_browser has to if it is not null.
-- Their rows stay locked until the end of the transaction: who ends them waits.
-- Status 0: written; 1: not found; 2: the version is another.
create function "{schema}".set_value(
	p_sessions bytea[], p_usr bytea, p_browser bytea,
	p_owner bytea, p_tab bytea, p_id bytea, p_name bytea, p_data bytea, p_version bigint,
	p_deadline bigint, p_due bigint,
	out status int, out version bigint
) language plpgsql as $$
#variable_conflict use_column
declare
	n int;
	written bigint := 0;
begin
	status := 1;
	version := 0;
	if cardinality(p_sessions) > 0 then
		perform 1 from "{schema}".session s
		where s.key = any(p_sessions) and (p_usr is null or s.usr = p_usr) order by s.key for key share;
		get diagnostics n = row_count;
		if n < cardinality(p_sessions) then
			return;
		end if;
	end if;
	if p_browser is not null then
		perform 1 from "{schema}".browser b where b.key = p_browser for key share;
		if not found then
			return;
		end if;
	end if;
	if p_tab <> ''::bytea then
		perform 1 from "{schema}".tab t where t.owner = p_owner and t.tab = p_tab for update;
	end if;

	status := 2;
	if p_data is null then
		if p_version > 0 then
			delete from "{schema}".value v
			where v.owner = p_owner and v.tab = p_tab and v.name = p_name and v.version = p_version;
			if not found then
				return;
			end if;
		elsif p_version = 0 then
			perform 1 from "{schema}".value v where v.owner = p_owner and v.tab = p_tab and v.name = p_name;
			if found then
				return;
			end if;
		else
			delete from "{schema}".value v where v.owner = p_owner and v.tab = p_tab and v.name = p_name;
		end if;
		perform "{schema}".tidy_tab(p_owner, p_tab);
		status := 0;
		return;
	end if;

	if p_version > 0 then
		update "{schema}".value v set data = p_data, version = nextval('"{schema}".version')
		where v.owner = p_owner and v.tab = p_tab and v.name = p_name and v.version = p_version
		returning v.version into written;
	elsif p_version = 0 then
		insert into "{schema}".value as v (version, owner, tab, name, data)
		values (nextval('"{schema}".version'), p_owner, p_tab, p_name, p_data)
		on conflict (owner, tab, name) do nothing
		returning v.version into written;
	else
		insert into "{schema}".value as v (version, owner, tab, name, data)
		values (nextval('"{schema}".version'), p_owner, p_tab, p_name, p_data)
		on conflict (owner, tab, name) do update set data = excluded.data, version = excluded.version
		returning v.version into written;
	end if;
	if written is null then
		return;
	end if;
	if p_tab <> ''::bytea then
		insert into "{schema}".tab as t (deadline, due, owner, tab, id)
		values (p_deadline, p_due, p_owner, p_tab, p_id)
		on conflict (owner, tab) do update set deadline = excluded.deadline, due = excluded.due
		where excluded.deadline > t.deadline;
	end if;
	status := 0;
	version := written;
end $$;

-- Removes the row of a tab that has no values. The row may have come since the
-- caller locked it in vain: it is locked, and the values are read after that. A
-- row that could not be locked is left alone, whatever comes meanwhile.
create function "{schema}".tidy_tab(p_owner bytea, p_tab bytea)
returns void language plpgsql as $$
begin
	if p_tab = ''::bytea then
		return;
	end if;
	perform 1 from "{schema}".tab t where t.owner = p_owner and t.tab = p_tab for update;
	if not found then
		return; -- one that comes from now on brings a value
	end if;
	if not exists (select from "{schema}".value v where v.owner = p_owner and v.tab = p_tab) then
		delete from "{schema}".tab t where t.owner = p_owner and t.tab = p_tab;
	end if;
end $$;

-- Removes a tab's values, and says whether p_session, if not null, exists.
create function "{schema}".drop_values(p_session bytea, p_owner bytea, p_tab bytea)
returns boolean language plpgsql as $$
begin
	if p_session is not null then
		perform 1 from "{schema}".session s where s.key = p_session for key share;
		if not found then
			return false;
		end if;
	end if;
	perform 1 from "{schema}".tab t where t.owner = p_owner and t.tab = p_tab for update;
	delete from "{schema}".value v where v.owner = p_owner and v.tab = p_tab;
	perform "{schema}".tidy_tab(p_owner, p_tab);
	return true;
end $$;

-- Moves times forward. A key, or an owner and tab, comes once.
create function "{schema}".touch(
	p_sessions bytea[], p_sessions_seen bigint[], p_sessions_deadline bigint[], p_sessions_due bigint[],
	p_browsers bytea[], p_browsers_seen bigint[], p_browsers_deadline bigint[], p_browsers_due bigint[],
	p_owners bytea[], p_tabs bytea[], p_tabs_deadline bigint[], p_tabs_due bigint[]
) returns void language plpgsql as $$
begin
	perform set_config('synchronous_commit', 'off', true);
	if cardinality(p_sessions) > 0 then
		perform 1 from "{schema}".session where key = any(p_sessions) order by key for no key update;
		update "{schema}".session s set
			seen = greatest(s.seen, n.seen),
			deadline = greatest(s.deadline, n.deadline),
			due = case when n.deadline > s.deadline then n.due else s.due end
		from unnest(p_sessions, p_sessions_seen, p_sessions_deadline, p_sessions_due) n(key, seen, deadline, due)
		where s.key = n.key and (n.seen > s.seen or n.deadline > s.deadline);
	end if;
	if cardinality(p_browsers) > 0 then
		perform 1 from "{schema}".browser where key = any(p_browsers) order by key for no key update;
		update "{schema}".browser b set
			seen = greatest(b.seen, n.seen),
			deadline = greatest(b.deadline, n.deadline),
			due = case when n.deadline > b.deadline then n.due else b.due end
		from unnest(p_browsers, p_browsers_seen, p_browsers_deadline, p_browsers_due) n(key, seen, deadline, due)
		where b.key = n.key and (n.seen > b.seen or n.deadline > b.deadline);
	end if;
	if cardinality(p_owners) > 0 then
		perform 1 from "{schema}".tab t
		where (t.owner, t.tab) in (select * from unnest(p_owners, p_tabs))
		order by t.owner, t.tab for no key update;
		update "{schema}".tab t set deadline = n.deadline, due = n.due
		from unnest(p_owners, p_tabs, p_tabs_deadline, p_tabs_due) n(owner, tab, deadline, due)
		where t.owner = n.owner and t.tab = n.tab and n.deadline > t.deadline;
	end if;
end $$;
