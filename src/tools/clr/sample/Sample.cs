// Sample.cs - a program that makes a garbage collector work, and checks what it gets back.
//
// usage: sample.dll [threads [rounds]]
//
// Each thread makes the same kinds of work that real programs do: trees of small objects that die young and trees that live
// on, dictionaries that grow, strings, arrays of 1 MiB that go to the large object heap, objects with finalizers. Everything
// that a thread keeps has a checksum that is computed twice, once while it is made and once after collections have moved it.
// What is printed depends on the arguments alone. Exit status: 0, or 1 if anything was not as it had been left, 2 for bad
// arguments.

using System;
using System.Collections.Generic;
using System.Threading;

// A small generator of its own, so that the numbers are the same on every runtime.
sealed class Numbers
{
    uint state;

    public Numbers(uint seed)
    {
        state = seed * 2654435761u + 1;
    }

    public uint Next()
    {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        return state;
    }

    public int Below(int bound)
    {
        return (int)(Next() % (uint)bound);
    }
}

sealed class Tree
{
    readonly Tree left;
    readonly Tree right;
    readonly uint value;

    public Tree(int depth, Numbers numbers)
    {
        value = numbers.Next();
        if (depth > 0)
        {
            left = new Tree(depth - 1, numbers);
            right = new Tree(depth - 1, numbers);
        }
    }

    public uint Sum()
    {
        uint sum = value * 31;
        if (left != null)
        {
            sum += left.Sum() * 7 + right.Sum() * 3;
        }
        return sum;
    }
}

// Counts how many of its kind the collector has finalized.
sealed class Finalized
{
    static int finalized;

    public static int Count
    {
        get { return Volatile.Read(ref finalized); }
    }

    ~Finalized()
    {
        Interlocked.Increment(ref finalized);
    }
}

// What one thread does, and the sums of what it did.
sealed class Worker
{
    const int LargeWords = 1 << 17; // 1 MiB of 64-bit words
    const int LivingTrees = 24;

    readonly int rounds;
    readonly Numbers numbers;
    readonly List<Tree> living = new List<Tree>();
    readonly List<uint> livingSums = new List<uint>();
    readonly Queue<ulong[]> large = new Queue<ulong[]>();
    readonly Dictionary<string, int> words = new Dictionary<string, int>();

    public uint TreeSum;
    public uint WordSum;
    public ulong LargeSum;
    public int Finalizable;
    public string Failure;

    public Worker(int index, int rounds)
    {
        this.rounds = rounds;
        numbers = new Numbers((uint)index + 1);
    }

    public void Run()
    {
        try
        {
            for (int round = 0; round < rounds && Failure == null; round++)
            {
                ShortTrees();
                LongTrees(round);
                Words(round);
                Large(round);
                Finalizables();
            }
            Check();
        }
        catch (Exception error)
        {
            Failure = error.ToString();
        }
    }

    void ShortTrees()
    {
        for (int tree = 0; tree < 8; tree++)
        {
            TreeSum += new Tree(9, numbers).Sum();
        }
    }

    // Every tree is replaced in its turn, so most of them have survived into the oldest generation by then.
    void LongTrees(int round)
    {
        Tree tree = new Tree(10, numbers);
        int place = round % LivingTrees;

        if (living.Count <= place)
        {
            living.Add(tree);
            livingSums.Add(tree.Sum());
            return;
        }
        if (living[place].Sum() != livingSums[place])
        {
            Failure = "a tree changed while it lived";
        }
        living[place] = tree;
        livingSums[place] = tree.Sum();
    }

    void Words(int round)
    {
        for (int word = 0; word < 1500; word++)
        {
            string key = "word " + numbers.Below(20000).ToString();
            int count;

            words.TryGetValue(key, out count);
            words[key] = count + 1;
        }
        if (round % 16 == 15)
        {
            WordSum += SumWords();
            words.Clear();
        }
    }

    uint SumWords()
    {
        uint sum = 0;

        foreach (KeyValuePair<string, int> entry in words)
        {
            uint hash = 17; // string.GetHashCode differs from run to run

            foreach (char letter in entry.Key)
            {
                hash = hash * 31 + letter;
            }
            sum += hash * (uint)entry.Value;
        }
        return sum;
    }

    // Four arrays live at a time, and now and then sixteen, so that the heap grows and shrinks.
    void Large(int round)
    {
        int most = round % 32 < 12 ? 16 : 4;

        MakeLarge();
        while (large.Count > most)
        {
            LargeSum += SumLarge(large.Dequeue());
        }
    }

    // A new array must be all zeros.
    void MakeLarge()
    {
        ulong[] array = new ulong[LargeWords];
        ulong seed = numbers.Next();

        for (int at = 0; at < array.Length; at++)
        {
            if (array[at] != 0)
            {
                Failure = "a new array is not zero";
                return;
            }
        }
        for (int at = 0; at < array.Length; at++)
        {
            array[at] = seed + (ulong)at;
        }
        large.Enqueue(array);
    }

    ulong SumLarge(ulong[] array)
    {
        ulong sum = 0;

        for (int at = 0; at < array.Length; at++)
        {
            if (array[at] != array[0] + (ulong)at)
            {
                Failure = "a large array changed while it lived";
                return 0;
            }
            sum += array[at];
        }
        return sum;
    }

    void Finalizables()
    {
        for (int made = 0; made < 20; made++)
        {
            new Finalized();
            Finalizable++;
        }
    }

    void Check()
    {
        for (int tree = 0; tree < living.Count; tree++)
        {
            if (living[tree].Sum() != livingSums[tree])
            {
                Failure = "a tree changed while it lived";
            }
            TreeSum += livingSums[tree];
        }
        while (large.Count > 0)
        {
            LargeSum += SumLarge(large.Dequeue());
        }
        WordSum += SumWords();
    }
}

static class Sample
{
    static bool failed;

    static void Expect(bool right, string what)
    {
        Console.WriteLine("{0}: {1}", what, right ? "yes" : "NO");
        failed |= !right;
    }

    static int Argument(string[] arguments, int at, int standard, int most)
    {
        int number = standard;

        if (at < arguments.Length && (!int.TryParse(arguments[at], out number) || number < 1 || number > most))
        {
            Console.Error.WriteLine("sample: '{0}' is not a number from 1 to {1}", arguments[at], most);
            return -1;
        }
        return number;
    }

    static Worker[] RunWorkers(int count, int rounds)
    {
        Worker[] workers = new Worker[count];
        Thread[] threads = new Thread[count];

        for (int at = 0; at < count; at++)
        {
            workers[at] = new Worker(at, rounds);
            threads[at] = new Thread(workers[at].Run);
            threads[at].Start();
        }
        // The main thread forces collections of every generation while they work.
        for (int at = 0; at < count; at++)
        {
            for (int generation = 0; !threads[at].Join(100); generation = (generation + 1) % 3)
            {
                GC.Collect(generation);
            }
        }
        return workers;
    }

    // In a method of its own, so that no local variable keeps the object alive.
    static WeakReference MakeGarbage()
    {
        return new WeakReference(new Tree(4, new Numbers(1)));
    }

    static void CheckGenerations()
    {
        Tree kept = new Tree(12, new Numbers(99));
        uint sum = kept.Sum();
        WeakReference garbage = MakeGarbage();

        for (int generation = 0; generation <= GC.MaxGeneration; generation++)
        {
            int before = GC.CollectionCount(generation);

            GC.Collect(generation);
            Expect(GC.CollectionCount(generation) > before, "collected generation " + generation.ToString());
        }
        // One collection may leave an object where it is, so a few are allowed.
        for (int more = 0; more < 10 && (GC.GetGeneration(kept) < GC.MaxGeneration || garbage.IsAlive); more++)
        {
            GC.Collect();
        }
        Expect(GC.GetGeneration(kept) == GC.MaxGeneration, "a survivor is in the oldest generation");
        Expect(kept.Sum() == sum, "a survivor is what it was");
        Expect(!garbage.IsAlive, "garbage is gone");
    }

    static int Main(string[] arguments)
    {
        int count = Argument(arguments, 0, 4, 64);
        int rounds = Argument(arguments, 1, 240, 100000);
        int finalizable = 0;

        if (count < 0 || rounds < 0)
        {
            return 2;
        }
        foreach (Worker worker in RunWorkers(count, rounds))
        {
            Console.WriteLine("trees {0:x8}  words {1:x8}  arrays {2:x16}", worker.TreeSum, worker.WordSum, worker.LargeSum);
            if (worker.Failure != null)
            {
                Console.WriteLine("FAILED: {0}", worker.Failure);
                failed = true;
            }
            finalizable += worker.Finalizable;
        }
        CheckGenerations();
        GC.Collect();
        GC.WaitForPendingFinalizers();
        Expect(Finalized.Count >= finalizable - 64 && Finalized.Count <= finalizable, "finalizers ran");
        Console.WriteLine(failed ? "FAILED" : "passed");
        return failed ? 1 : 0;
    }
}
