"""Workers in processes of Ray, on this machine or on a cluster: what is asked for, Ray, its processes, what runs there."""
