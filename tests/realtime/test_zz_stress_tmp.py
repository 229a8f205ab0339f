import asyncio, random, time
from nanobanana.redisdb.event_log import Cursor
from tests.realtime.conftest import *
from accounts.models import User
from chats.services import create_message
async def test_stress(alice, tablet, other_server, session_id, kill_subscriptions):
    user=User(alice.id,alice.id); stop=asyncio.Event(); N=4000
    heads=[]
    async def writer():
        for i in range(N):
            await create_message(user=user,session_id=session_id,role="user",text=str(i))
            await asyncio.sleep(0.003)
        stop.set()
    async def killer():
        while not stop.is_set():
            await kill_subscriptions(); await asyncio.sleep(random.random()*.5)
    resync=[0]; conns=[0]; worst=[0]
    async def device(server):
        c=Client(server,"d",alice.id,alice.phone.token,"")
        cursor=None; got=[]; first=None
        while True:
            f=await c.listen(session_id, **({"since":cursor} if cursor else {}))
            conns[0]+=1
            if cursor is None: cursor=f["cursor"]; first=Cursor.parse(cursor).offset
            else: assert f["recovered"],(f,cursor)
            end=time.time()+random.random()*2
            quiet=0
            while time.time()<end or stop.is_set():
                try: f=await c.next_frame(.3)
                except TimeoutError:
                    quiet+=1
                    if stop.is_set() and quiet>36: break
                    continue
                if f["type"] in("message_created","session_updated"): got.append(Cursor.parse(f["cursor"]).offset)
                else: print(f)
                if "cursor" in f: cursor=f["cursor"]
                quiet=0
            await c.socket.close()
            if stop.is_set(): break
            if random.random()<.3: await asyncio.sleep(random.random())
        await c.close()
        return first,got
    ds=[asyncio.create_task(device(s)) for s in [alice.phone.server,other_server]*6]
    await asyncio.sleep(.5)
    await asyncio.gather(writer(),killer())
    for first,got in await asyncio.gather(*ds):
        assert got==list(range(first+1,first+1+len(got))), "gap"
        assert got[-1]==2*N+1,(got[-1])
    print("connections",conns)
